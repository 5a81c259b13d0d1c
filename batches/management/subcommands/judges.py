"""The options --judge and --judged of `batches compare`."""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions.batches import Origin, create_batch, short_name
from batches.actions.options import BatchOptions
from batches.comparison.intervals import Figure
from batches.comparison.judging import (
    JUDGES,
    SCHEMA,
    JudgementFigures,
    judge_prompts,
    judged_ids,
)
from batches.engine.endpoints import CHAT
from batches.engine.prepare import with_response_schema
from batches.errors import NotPossible
from batches.formats import NOTHING, dollars
from batches.management.bulk.next_steps import own_output
from batches.management.pasting import command_line
from batches.models import Batch


def add_judge_options(parser: CommandParser) -> None:
    parser.add_argument(
        "--judge",
        metavar="MODEL",
        help="create a batch in which this model of the first batch's provider judges, for each "
        "row with two different answers, which one is better; it costs what its calls cost",
    )
    parser.add_argument(
        "--judged", metavar="ID", help="show the judgements of a batch that --judge has created"
    )


def create_judge(batches: Sequence[Batch], model: str) -> Batch:
    """Create the batch that judges two batches, for the workers. Raise NotPossible."""
    ids, prompts = judged_ids(batches), judge_prompts(batches)
    first = next(prompts, None)
    if first is None:
        raise NotPossible(
            "there is no row with two different answers, so there is nothing to judge"
        )
    options = BatchOptions(
        name=short_name(f"Judge of {batches[0].title} and {batches[1].title}"),
        defaults=with_response_schema(
            {"model": model}, endpoint=CHAT, schema={"name": "judgement", "schema": SCHEMA}
        ),
        metadata={JUDGES: ids},
    )
    origin = Origin(batches[0].owner)
    return create_batch(batches[0].provider, chain([first], prompts), options, origin=origin)


def write_created(out: TextIO, judge: Batch, batches: Sequence[Batch]) -> None:
    """Write how to go on with a new judging batch."""
    ids = [batch.public_id for batch in batches]
    here = command_line("process_batch", "--resume", judge.public_id, *own_output(judge))
    then = command_line("batches", "compare", *ids, "--judged", judge.public_id)
    out.write(f"\n{judge.public_id}: {judge.total:,} rows to judge\n")
    out.write(f"The workers run it. To run it here instead: {here}\n")
    out.write(f"Then: {then}\n")


def judgement_lines(found: JudgementFigures) -> Iterator[str]:
    """Yield the judgements in words."""
    yield ""
    yield f"Judged by {found.judge}: {found.rows:,} rows, {dollars(found.cost)}"
    if found.failed:
        yield f"{found.failed:,} rows without a judgement left out"
    for number, share in enumerate(found.better, 1):
        yield f"batch {number} better: {_share(share)}"
    yield f"equally good: {_share(found.same)}"
    yield f"the better one was shown first: {_share(found.shown_first)}"
    best = "no difference is shown" if found.best is None else f"batch {found.best + 1} is best"
    yield f"Judge: {best}."


def _share(figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    low, high = 100 * figure.low, 100 * figure.high
    return f"{100 * figure.value:.1f} % ({low:.1f} to {high:.1f} %)"
