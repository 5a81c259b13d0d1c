"""The pages of batches and their results."""
