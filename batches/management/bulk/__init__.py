"""The parts of process_batch."""
