"""Run a batch: claim chunks, send requests, store outcomes."""
