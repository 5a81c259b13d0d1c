"""The admin: create, watch and analyse batches. One module for each kind of page.

Every action calls the same functions as the API.
"""

from batches.admin import answers, files, tokens, webhooks
from batches.admin.batches import admin as batches
from batches.admin.providers import admin as providers
from batches.admin.templates import admin as templates

__all__ = ["answers", "batches", "files", "providers", "templates", "tokens", "webhooks"]
