"""What worker processes do beside running batches: sweep and send heartbeats."""
