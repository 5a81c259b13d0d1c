"""Check that a user may read and write what a template and a form name of the chosen rows."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

from django.contrib.admin.exceptions import NotRegistered
from django.contrib.admin.options import ModelAdmin
from django.db.models import Model, QuerySet, prefetch_related_objects
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

from batches.admin.rows.shown_fields import ShownFields
from batches.admin.rows.template_reads import TemplateRead
from batches.engine.text.wording import quoted
from batches.errors import NotPossible
from batches.rows.row_pages import PAGE_ROWS, row_pages
from batches.writeback.dotted_names import Path
from batches.writeback.row_cells import Relation, relations_in

_REMEDY = "A developer can open it with enrich_reads."


@dataclass(frozen=True, slots=True)
class _Level:
    """Rows that a template reads: the chosen ones, or the ones that a relation leads to."""

    path: Path
    admin: "ModelAdmin[Any]"
    fields: ShownFields
    # The fields that the template reads, with its words for each.
    names: dict[str, str] = field(default_factory=dict)


class RowAccess:
    """The rules of a ModelAdmin for the rows that a user has chosen in it.

    The user must be allowed to change each row. A template reads what the pages of a row show the
    user, and of a related row what its own pages on this site show. `opened` are paths that a
    developer has opened for all who may change the rows.
    """

    def __init__(
        self, admin: "ModelAdmin[Any]", request: HttpRequest, *, opened: Iterable[str]
    ) -> None:
        self._admin = admin
        self._request = request
        self._fields = ShownFields(admin, request)
        # The list shows a field of a related row by a lookup.
        listed = [name for name in admin.get_list_display(request) if isinstance(name, str)]
        lookups = [name for name in listed if LOOKUP_SEP in name.strip("_")]
        self._opened = {
            *(tuple(path.split(".")) for path in opened),
            *(tuple(lookup.split(LOOKUP_SEP)) for lookup in lookups),
        }

    def writable(self, row: Model) -> frozenset[str]:
        """Return the names of the fields of a row that the user can change on its page."""
        return self._fields.writable(row)

    def check(
        self,
        queryset: "QuerySet[Any]",
        *,
        reads: Sequence[TemplateRead],
        writes: Collection[str],
        most: int | None = None,
    ) -> None:
        """Raise NotPossible if the user may not read or write one of these in a chosen row.

        With `most`, only the first rows are checked. One page of rows is in memory.
        """
        levels: dict[Path, _Level] = {(): _Level((), self._admin, self._fields)}
        for read in reads:
            self._add(read, levels)
        pages = row_pages(queryset, page_rows=min(PAGE_ROWS, most or PAGE_ROWS))
        rows = islice(chain.from_iterable(pages), most)
        while page := list(islice(rows, PAGE_ROWS)):
            self._check_rows(page, list(levels.values()), frozenset(writes))

    def _add(self, read: TemplateRead, levels: dict[Path, _Level]) -> None:
        """Add what a read needs to the levels. Raise NotPossible if it is allowed for no row."""
        if not read.path:
            raise NotPossible(
                "The template uses the row as a whole. Name the fields that you mean, such as "
                "{{ row.title }}."
            )
        opened = self._opened_of(read.path)
        model: type[Model] = self._admin.model
        for depth, name in enumerate(read.path):
            relation = relations_in(model, [(name,)]).get(name)
            if not opened and (relation or name in _columns(model)):
                levels[read.path[:depth]].names.setdefault(name, str(read))
            if relation is None:
                # What is wrong with a name that is no field, the preview says.
                return
            if depth >= opened:
                self._enter(read, read.path[: depth + 1], relation, levels)
            model = relation.model
        if not read.is_tested and len(read.path) > opened:
            raise NotPossible(
                f"The template uses {read} as a whole. Name the field that you mean, such as "
                f"{{{{ {read}.name }}}}."
            )

    def _opened_of(self, path: Path) -> int:
        """Return the number of names that lead to what a developer has opened; 0 if nothing."""
        return max((n for n in range(len(path) + 1) if path[:n] in self._opened), default=0)

    def _enter(
        self, read: TemplateRead, path: Path, relation: Relation, levels: dict[Path, _Level]
    ) -> None:
        """Add the rows that a relation leads to. Raise NotPossible if they may not be read."""
        if self._opened_of(path):
            raise NotPossible(f"The template reads {read}, which enrich_reads does not name.")
        if relation.is_many:
            raise NotPossible(
                f"The template reads {read}, which may be many rows that no page of this row "
                f"shows. {_REMEDY}"
            )
        many = relation.model._meta.verbose_name_plural
        try:
            admin = self._admin.admin_site.get_model_admin(relation.model)
        except NotRegistered as error:
            raise NotPossible(
                f"The template reads {read}, but {many} have no pages here. {_REMEDY}"
            ) from error
        if not admin.has_view_permission(self._request):
            raise NotPossible(f"The template reads {read}, and you may not view {many}.")
        if path not in levels:
            levels[path] = _Level(path, admin, ShownFields(admin, self._request))

    def _check_rows(
        self, rows: Sequence[Model], levels: Sequence[_Level], writes: frozenset[str]
    ) -> None:
        for row in rows:
            if not self._admin.has_change_permission(self._request, row):
                raise NotPossible(f"You may not change {quoted(str(row))}: leave it out.")
            if kept := writes - self._fields.writable(row):
                raise NotPossible(
                    f"You may not change {quoted(min(kept))} of {quoted(str(row))}: choose other "
                    "fields, or leave the row out."
                )
        lookups = [LOOKUP_SEP.join(level.path) for level in levels if level.path]
        prefetch_related_objects(list(rows), *lookups)
        for level in levels:
            self._check_level(rows, level)

    def _check_level(self, rows: Sequence[Model], level: _Level) -> None:
        """Raise NotPossible if a row at this level, or what the template reads of it, is hidden."""
        found = [(row, at) for row in rows if (at := _at(row, level.path)) is not None]
        visible = self._visible(level, [at.pk for _, at in found])
        for row, at in found:
            if at.pk not in visible or not level.admin.has_view_permission(self._request, at):
                raise NotPossible(
                    f"You may not view {'.'.join(('row', *level.path))} of {quoted(str(row))}, "
                    "which the template reads: leave the row out."
                )
            if hidden := level.names.keys() - level.fields.shown(at):
                read = level.names[min(hidden)]
                raise NotPossible(f"The template reads {read}, which no page here shows. {_REMEDY}")

    def _visible(self, level: _Level, keys: Sequence[Any]) -> Collection[Any]:
        """Return the keys of the rows that have a page for the user."""
        if not level.path:
            # They were chosen in a list of these.
            return keys
        rows = level.admin.get_queryset(self._request).filter(pk__in=set(keys))
        return set(rows.values_list("pk", flat=True))


def _columns(model: type[Model]) -> Iterator[str]:
    yield "pk"
    for one in model._meta.concrete_fields:
        yield one.attname


def _at(row: Model, path: Path) -> Model | None:
    """Return the row that a path of relations leads to; None if there is none."""
    at: Any = row
    for name in path:
        at = at and getattr(at, name)
    return at  # type: ignore[no-any-return]  # Django's rows
