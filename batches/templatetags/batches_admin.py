"""Filters for the pages of the admin."""

from django import template

from batches import formats, waiting

register = template.Library()

register.filter("duration", formats.duration)
register.filter("count", formats.count)
register.filter("rate", formats.rate)
register.filter("times", formats.times)
register.filter("dollars", formats.dollars)
register.filter("size", formats.size)
register.filter("share", formats.share)
register.filter("waiting", waiting.in_words)
