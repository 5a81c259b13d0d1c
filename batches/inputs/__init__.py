"""Read input files: encodings, tables and JSON lines, with one request for each line."""
