"""Lease batches, chunks and slots. No other package writes the state of a lease."""
