"""Files of prompts as people write them: encodings, tables, lines of JSON, one request for each."""
