"""The admin: where batches are made, watched and understood. One module for each kind of page.

Every action calls the same services as the API.
"""

from batches.admin import batches, files, providers, tokens, users, webhooks

__all__ = ["batches", "files", "providers", "tokens", "users", "webhooks"]
