"""Breadcrumbs of an admin page: list, row, part of the row."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django import template
from django.db.models import Model
from django.db.models.options import Options
from django.template import RequestContext
from django.urls import reverse
from django.utils.text import capfirst

from batches.models import Batch

register = template.Library()

# Titles of the parts of a row, by the last word of the URL name.
PARTS = {
    "add": "New",
    "history": "History",
    "delete": "Delete",
    "results": "Results",
    "result": "Results",
    "compare": "Compare timings",
    "answers": "Compare answers",
    "rotate": "New signing secret",
}


@dataclass(frozen=True, slots=True)
class Crumb:
    """A breadcrumb; the last one, the page itself, has no link."""

    title: str
    link: str = ""


@register.simple_tag(takes_context=True)
def crumbs(context: RequestContext) -> list[Crumb]:
    """Return the breadcrumbs of the current page; none if the page belongs to no model."""
    opts = context.get("opts")
    if opts is None:
        return []
    site = context.request.resolver_match.namespace if context.request.resolver_match else ""
    address = partial(_address, site)
    way = [Crumb(capfirst(str(opts.verbose_name_plural)), address(opts, "changelist"))]
    row = next(
        (context.get(name) for name in ("original", "object", "batch") if name in context), None
    )
    if isinstance(row, Model):
        named = row.title if isinstance(row, Batch) else str(row)
        way.append(Crumb(named, address(row._meta, "change", row.pk)))
    way += _parts(context, opts, row, address)
    return [*way[:-1], Crumb(way[-1].title)]


def _parts(
    context: RequestContext, opts: "Options[Any]", row: Any, address: Callable[..., str]
) -> list[Crumb]:
    match = context.request.resolver_match
    part = (match.url_name or "").rpartition("_")[2] if match else ""
    if part not in PARTS:
        return []
    if part != "result":
        return [Crumb(PARTS[part])]
    return [
        Crumb(PARTS[part], address(opts, "results", row.pk)),
        Crumb(context["prompt"].custom_id),
    ]


def _address(site: str, opts: "Options[Any]", page: str, *arguments: Any) -> str:
    name = f"admin:{opts.app_label}_{opts.model_name}_{page}"
    return reverse(name, args=arguments, current_app=site)
