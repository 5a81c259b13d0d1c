"""Signals of webhooks."""

from django.dispatch import Signal

# Sent with the id of a delivery that is due. workers/messages.py listens to it, since code that
# announces events lies below them and cannot import them.
delivery_due = Signal()
