"""Tasks of worker processes besides running batches: sweep and send heartbeats."""
