"""The origins of answers that were used again."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from batches.models import Prompt


class AnswerOrigin(NamedTuple):
    """The request that an answer was made for."""

    batch_id: str
    custom_id: str


def origins_of(sources: Iterable[int | None]) -> Mapping[int | None, AnswerOrigin]:
    """Return the origins of answers by the IDs of their prompts, as far as they exist."""
    ids = {source for source in sources if source is not None}
    if not ids:
        return {}
    found = Prompt.objects.filter(pk__in=ids, batch__deleted_at=None)
    return {
        pk: AnswerOrigin(*origin)
        for pk, *origin in found.values_list("pk", "batch__public_id", "custom_id")
    }
