"""JSON and text that can be stored, sent, and quoted in messages."""
