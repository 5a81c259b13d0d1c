"""Search prompts and answers as a person reads them, a bounded number at a time.

Stored bodies are JSON text, in which a database cannot find a word with an escaped character or the
value of a field. So they are read and compared here, and a search that reaches its bounds says up
to where it has looked.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.db.models import QuerySet
from django.db.models.functions import Left

from batches.admin.batches.results.conversation import ShownTurn, answered, asked
from batches.engine.replies.replies import answer_in
from batches.models import Batch, Result

# One request looks at up to so much; the next one continues.
MOST_SEARCHED = 10_000
MOST_SEARCH_S = 2.0
READ_AT_ONCE = 100
# Characters of a prompt and of an answer that are searched.
MOST_READ_CHARS = 100_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A text that a prompt or an answer must contain, and the value of a field of the answer.

    An empty value matches any value of the field.
    """

    text: str = ""
    field: str = ""
    value: str = ""


@dataclass(frozen=True, slots=True)
class Search:
    """Indexes of results that match. `through` is the index of the last result looked at, None if
    there are no more in this direction."""

    indexes: list[int]
    looked_at: int
    through: int | None


def search(
    batch: Batch,
    each_status: list[QuerySet[Result]],
    wanted: Wanted,
    *,
    start: int,
    limit: int,
    backward: bool = False,
) -> Search:
    """Return up to `limit` results beyond the index `start` that match, nearest first.

    `each_status` holds the candidates by status, which the database has in order.
    """
    deadline = time.monotonic() + MOST_SEARCH_S
    found: list[int] = []
    looked_at, place = 0, start
    while True:
        page = _read(each_status, place, backward=backward)
        for index, *texts in page:
            place, looked_at = index, looked_at + 1
            if matches(wanted, batch.endpoint, *texts):
                found.append(index)
            if len(found) == limit:
                return Search(found, looked_at, place)
        if len(page) < READ_AT_ONCE:
            return Search(found, looked_at, None)
        # Checked afterwards, so that each request gets further.
        if looked_at >= MOST_SEARCHED or time.monotonic() >= deadline:
            return Search(found, looked_at, place)


def _read(
    each_status: list[QuerySet[Result]], place: int, *, backward: bool
) -> list[tuple[Any, ...]]:
    """Return the next results as (index, prompt, body, parsed), their texts cut."""
    order, bound = ("-index", "index__lt") if backward else ("index", "index__gt")
    texts = [Left(column, MOST_READ_CHARS) for column in ("prompt__body", "body", "parsed")]
    found = [
        row
        for results in each_status
        for row in results.filter(**{bound: place})
        .order_by(order)
        .values_list("index", *texts)[:READ_AT_ONCE]
    ]
    return sorted(found, key=itemgetter(0), reverse=backward)[:READ_AT_ONCE]


def matches(
    wanted: Wanted, endpoint: str, prompt: str, body: str | None, parsed: str | None
) -> bool:
    """Return True if a result contains the text and has the value."""
    if wanted.field and not _has_value(wanted, endpoint, body, parsed):
        return False
    if not wanted.text:
        return True
    text = wanted.text.casefold()
    return any(text in shown.casefold() for shown in _shown(endpoint, prompt, body))


def _shown(endpoint: str, prompt: str, body: str | None) -> Iterator[str]:
    """Yield the texts of a conversation."""
    try:
        yield text_of(asked(json.loads(prompt), endpoint))
    except ValueError:
        # It was cut.
        yield prompt
    if body is not None:
        yield text_of(answered(body, endpoint))


def text_of(turns: list[ShownTurn]) -> str:
    """Return the parts of a conversation as one text."""
    return "\n".join(part.text for turn in turns for part in turn.parts)


def _has_value(wanted: Wanted, endpoint: str, body: str | None, parsed: str | None) -> bool:
    try:
        answer = json.loads(parsed if parsed is not None else answer_in(endpoint, body))
    except (ValueError, RecursionError):
        return False
    values = list(_values(answer, wanted.field.split(".")))
    value = wanted.value.casefold()
    return any(value in ("", _as_text(found).casefold()) for found in values)


def _values(value: Any, steps: list[str]) -> Iterator[Any]:
    """Yield the values at a path; in a list, the values of every item."""
    if isinstance(value, list):
        for item in value:
            yield from _values(item, steps)
    elif not steps:
        yield value
    elif isinstance(value, dict) and steps[0] in value:
        yield from _values(value[steps[0]], steps[1:])


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
