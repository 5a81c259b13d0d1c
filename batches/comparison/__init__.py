"""Compare the answers of up to four batches over the same rows. Nothing of it is stored."""
