"""JSON schemas: check them, compile them, make them strict."""
