"""A database that says that it is one which the app does not support."""
