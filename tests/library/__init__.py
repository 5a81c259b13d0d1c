"""An app of a project of its own: rows that answers are written into."""
