"""Parts of the serve command: child processes and their supervisor."""
