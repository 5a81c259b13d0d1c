"""Make the prompt of a row by a template: when it is sent, and again when its answer is written."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import Model, prefetch_related_objects

from batches.engine.errors import PromptRejected
from batches.engine.text.sendable import text_fault
from batches.engine.text.wording import quoted
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.rows import TemplatedRows
from batches.inputs.row_templates.sources import TemplateMessage
from batches.models.bounds import DIGEST_BYTES
from batches.writeback.dotted_names import paths_in, with_items
from batches.writeback.row_cells import (
    Cells,
    cells_of,
    lookups_of,
    paths_of,
    relations_in,
)


def row_template(messages: Sequence[TemplateMessage], *, max_chars: int) -> RowTemplate:
    """Compile a template whose names may have dots. Raise TemplateRefused."""
    return RowTemplate([_in_items(message) for message in messages], max_chars=max_chars)


def read_lookups(model: type[Model], messages: Iterable[TemplateMessage]) -> list[str]:
    """Return the relations of a model that a template reads, as Django's lookups.

    Raise TemplateRefused for a text that is no template.
    """
    paths = [path for message in messages for path in paths_in(_in_items(message).content)]
    return lookups_of(relations_in(model, paths))


def _in_items(message: TemplateMessage) -> TemplateMessage:
    return message.model_copy(update={"content": with_items(message.content)})


class RowPrompts:
    """Makes the bodies of requests of the rows of a model.

    Not for several threads at once, as its template.
    """

    def __init__(
        self, model: type[Model], template: RowTemplate, lookups: Sequence[str], endpoint: str
    ) -> None:
        self._rows = TemplatedRows(template, endpoint)
        self._lookups = lookups
        self._relations = relations_in(model, paths_of(lookups))

    def fetch_related(self, rows: Sequence[Model]) -> None:
        """Fetch the related rows that the template reads, in a query for each relation.

        Related rows that are fetched already stay as they are.
        """
        if self._lookups and rows:
            prefetch_related_objects(list(rows), *self._lookups)

    def body_of(self, row: Model) -> dict[str, Any]:
        """Return the body of the request for a row whose related rows are fetched.

        Raise PromptRejected, with the name that the template has and the row has not.
        """
        cells = cells_of(row, self._relations)
        _check_inner_texts(cells)
        _, body = self._rows.of_row(cells, None)
        return body


def digest_of(body: Mapping[str, Any]) -> bytes:
    """Return the digest of the body of a request, by which a changed row is recognised."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


def _check_inner_texts(cells: Cells) -> None:
    """Refuse a text in a related row or in JSON that cannot be sent, or that could mark an image.

    The texts of the row itself are checked by `TemplatedRows`.
    """
    for name, cell in cells.items():
        level: list[Any] = [cell] if isinstance(cell, dict | list) else []
        while level:
            value = level.pop()
            if isinstance(value, dict):
                level += [*value.keys(), *value.values()]
            elif isinstance(value, list):
                level += value
            elif isinstance(value, str) and (fault := text_fault(value, allow_nul=False)):
                raise PromptRejected(f"A text in {quoted(name)} {fault}", param=name)
