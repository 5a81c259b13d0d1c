"""The parts of serve: child processes and their supervisor."""
