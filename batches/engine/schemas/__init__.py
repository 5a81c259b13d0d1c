"""Check, compile and convert JSON Schemas."""
