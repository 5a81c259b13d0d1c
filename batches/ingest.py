"""Prompts are stored: all of them or none, streamed, in the order of the input."""

from collections.abc import Iterable, Iterator, Sequence

from django.db import IntegrityError, transaction

from batches.bulk import insert_rows
from batches.inputs import LineError, NewPrompt
from batches.lifecycle import BatchStatus
from batches.models import Batch, Chunk, Prompt, Slot

MAX_REPORTED_ERRORS = 10_000
PAGE_ROWS = 1000
PAGE_CHARS = 4 * 1024 * 1024


class InputRefused(Exception):
    """An input that makes no batch, with what is wrong with each of its lines."""

    def __init__(self, errors: Sequence[LineError]) -> None:
        super().__init__(f"{len(errors)} lines are wrong")
        self.errors = errors


def store_prompts(batch: Batch, items: Iterable[NewPrompt | LineError], *, most: int) -> int:
    """Store the prompts of a batch that is being validated, and make it runnable.

    Returns their number. Raises InputRefused, with nothing left to run, when a line is wrong,
    a custom_id comes twice, there is no prompt or there are more than `most`. The caller owns the
    batch and deletes it.
    """
    errors: list[LineError] = []
    total = 0
    for page in _pages(_good(items, errors)):
        if total + len(page) > most:
            message = f"a batch has at most {most} prompts (MAX_PROMPTS_PER_BATCH)"
            errors.append(LineError(page[most - total].line, "too_many_tasks", message))
            break
        errors += _store_page(batch.pk, total, page)
        total += len(page)
    if not total and not errors:
        errors.append(LineError(1, "empty_file", "the input has no prompts"))
    if errors:
        raise InputRefused(sorted(errors, key=lambda error: error.line)[:MAX_REPORTED_ERRORS])
    _seal(batch, total)
    return total


def discard(batch: Batch) -> None:
    """Delete a batch that never ran, with the prompts that were stored."""
    with transaction.atomic():
        prompts = Prompt.objects.filter(batch_id=batch.pk)
        prompts._raw_delete(prompts.db)
        batch.delete()


def _good(items: Iterable[NewPrompt | LineError], errors: list[LineError]) -> Iterator[NewPrompt]:
    """The prompts among the items, until there are more errors than anybody reads."""
    for item in items:
        if isinstance(item, NewPrompt):
            yield item
        else:
            errors.append(item)
            if len(errors) >= MAX_REPORTED_ERRORS:
                return


def _pages(prompts: Iterable[NewPrompt]) -> Iterator[list[NewPrompt]]:
    page: list[NewPrompt] = []
    chars = 0
    for prompt in prompts:
        page.append(prompt)
        chars += len(prompt.body)
        if len(page) >= PAGE_ROWS or chars >= PAGE_CHARS:
            yield page
            page, chars = [], 0
    if page:
        yield page


def _store_page(batch_id: int, first: int, page: Sequence[NewPrompt]) -> list[LineError]:
    try:
        with transaction.atomic():
            insert_rows(
                Prompt._meta.db_table,
                ("batch_id", "index", "custom_id", "body"),
                ((batch_id, first + n, p.custom_id, p.body) for n, p in enumerate(page)),
            )
    except IntegrityError:
        return _twins(batch_id, page)
    return []


def _twins(batch_id: int, page: Sequence[NewPrompt]) -> list[LineError]:
    """An error for each prompt of a page whose custom_id was there before it."""
    stored = Prompt.objects.filter(batch_id=batch_id)
    ids = [prompt.custom_id for prompt in page]
    seen = set(stored.filter(custom_id__in=ids).values_list("custom_id", flat=True))
    errors: list[LineError] = []
    for prompt in page:
        if prompt.custom_id in seen:
            message = f"{prompt.custom_id!r} was used before in this batch"
            errors.append(LineError(prompt.line, "duplicate_custom_id", message, "custom_id"))
        seen.add(prompt.custom_id)
    return errors


def _seal(batch: Batch, total: int) -> None:
    """Make chunks of the prompts and let the batch run; both or neither."""
    size = batch.batch_size
    with transaction.atomic():
        insert_rows(
            Chunk._meta.db_table,
            ("batch_id", "lo", "hi", "state", "lease_token", "crashes", "suspect_crashes"),
            (
                (batch.pk, lo, min(lo + size, total), "ready", 0, 0, 0)
                for lo in range(0, total, size)
            ),
        )
        Slot.objects.bulk_create(Slot(batch=batch, number=n) for n in range(batch.parallelism))
        this = Batch.objects.filter(pk=batch.pk)
        if not this.move(BatchStatus.IN_PROGRESS, sources={BatchStatus.VALIDATING}, total=total):
            raise InputRefused([LineError(1, "cancelled", "the batch was cancelled")])
