"""The sub-commands of `manage.py batches`."""
