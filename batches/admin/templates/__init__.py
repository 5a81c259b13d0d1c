"""The library of templates: a list, a page for each version, the changes between versions."""
