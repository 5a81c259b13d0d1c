"""Deliver events to the webhook endpoints of users."""
