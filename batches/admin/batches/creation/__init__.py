"""The form for a new batch: its fields, its preview, and the batch that it starts."""
