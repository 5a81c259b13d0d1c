"""End batches: completed, failed, cancelled, expired, purged; report on what happened."""
