"""Take the prompts of an input in pages, by the same rules for a check and for the store."""

from collections.abc import Callable, Iterable, Iterator, Sequence, Set

from batches.inputs.prompts import NO_PROMPTS, LineError, NewPrompt, too_many, twin
from batches.intake.tally import InputRefused

MAX_REPORTED_ERRORS = 10_000
PAGE_ROWS = 1000
PAGE_CHARS = 4 * 1024 * 1024


def take_prompts(
    items: Iterable[NewPrompt | LineError],
    take: Callable[[Sequence[NewPrompt]], Iterable[LineError]],
    *,
    most: int,
    most_errors: int = MAX_REPORTED_ERRORS,
) -> None:
    """Call `take` with each page of prompts, which returns the errors that it finds.

    Raise InputRefused, at the end or after `most_errors`, if there are errors, no prompts, or more
    than `most`.
    """
    errors: list[LineError] = []
    taken = 0
    for page in _pages(_good(items, errors, most_errors)):
        if taken + len(page) > most:
            errors.append(too_many(page[most - taken], most))
            break
        errors += take(page)
        taken += len(page)
    if not taken and not errors:
        errors.append(LineError(1, "empty_file", NO_PROMPTS))
    if errors:
        raise InputRefused(sorted(errors, key=lambda error: error.line)[:most_errors])


def twins(page: Sequence[NewPrompt], earlier: Set[str]) -> list[LineError]:
    """Return an error for each prompt of a page whose custom_id an earlier prompt has."""
    own: set[str] = set()
    errors: list[LineError] = []
    for prompt in page:
        if prompt.custom_id in earlier or prompt.custom_id in own:
            errors.append(twin(prompt))
        own.add(prompt.custom_id)
    return errors


def _good(
    items: Iterable[NewPrompt | LineError], errors: list[LineError], most_errors: int
) -> Iterator[NewPrompt]:
    """Yield the prompts among the items, until there are too many errors to report."""
    for item in items:
        if isinstance(item, NewPrompt):
            yield item
        else:
            errors.append(item)
        if len(errors) >= most_errors:
            return


def _pages(prompts: Iterable[NewPrompt]) -> Iterator[list[NewPrompt]]:
    page: list[NewPrompt] = []
    chars = 0
    for prompt in prompts:
        page.append(prompt)
        chars += len(prompt.body) + len(prompt.row or "")
        if len(page) >= PAGE_ROWS or chars >= PAGE_CHARS:
            yield page
            page, chars = [], 0
    if page:
        yield page
