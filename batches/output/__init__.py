"""Write results: JSON lines, CSV, pages, and the output files of a batch."""
