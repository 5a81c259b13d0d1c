"""The fields of a row that the pages of its ModelAdmin show a user, and the ones of its form."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from django.contrib.admin.options import ModelAdmin
from django.contrib.admin.utils import flatten_fieldsets
from django.db.models import Model
from django.http import HttpRequest


@dataclass(frozen=True, slots=True)
class _Names:
    shown: frozenset[str]
    writable: frozenset[str]


class ShownFields:
    """Knows the fields of the rows of one ModelAdmin for one request.

    What is excluded and read-only is asked for each row. A form is made only for rows that differ
    in that, since it takes milliseconds.
    """

    def __init__(self, admin: "ModelAdmin[Any]", request: HttpRequest) -> None:
        self._admin = admin
        self._request = request
        self._known: dict[Hashable, _Names] = {}

    def shown(self, row: Model) -> frozenset[str]:
        """Return the names that the page of a row and the list show, and the ones of its key."""
        return self._of(row).shown

    def writable(self, row: Model) -> frozenset[str]:
        """Return the names that the user can change on the page of a row."""
        return self._of(row).writable

    def _of(self, row: Model) -> _Names:
        excluded = tuple(self._admin.get_exclude(self._request, row) or ())
        read_only = tuple(self._admin.get_readonly_fields(self._request, row))
        key = (excluded, read_only)
        if key not in self._known:
            self._known[key] = self._names(row, frozenset(excluded))
        return self._known[key]

    def _names(self, row: Model, excluded: frozenset[str]) -> _Names:
        form: Any = self._admin.get_form(self._request, row, change=True)
        on_page = flatten_fieldsets(self._admin.get_fieldsets(self._request, row))
        in_list = self._admin.get_list_display(self._request)
        names = {name for name in (*on_page, *in_list) if isinstance(name, str)} - excluded
        fields = {one.name: one for one in row._meta.concrete_fields}
        # A column of a relation is the key that the page shows.
        keys = {fields[name].attname for name in names & fields.keys()}
        own = {"pk", row._meta.pk.name, row._meta.pk.attname}
        return _Names(frozenset(names | keys | own), frozenset(form.base_fields))
