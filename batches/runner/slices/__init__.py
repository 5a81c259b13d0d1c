"""The work of a slice in its event loop: claiming, sending, storing, leaving."""
