"""Filters for the pages of the admin."""

from datetime import UTC, datetime

from django import template

from batches import formats
from batches.leases import waiting

register = template.Library()

register.filter("duration", formats.duration)
register.filter("count", formats.count)
register.filter("rate", formats.rate)
register.filter("times", formats.times)
register.filter("dollars", formats.dollars)
register.filter("size", formats.size)
register.filter("share", formats.share)
register.filter("waiting", waiting.in_words)


@register.filter("unix_time")
def unix_time(seconds: float) -> datetime:
    """Return the moment of a UNIX time."""
    return datetime.fromtimestamp(seconds, UTC)
