"""Formats of dates on pages (Django's FORMAT_MODULE_PATH)."""
