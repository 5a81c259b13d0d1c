"""The comparison of batches: its API object and its view."""
