"""`batches compare`: the answers of several batches to the same rows."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TextIO

from django.core.management.base import CommandParser

from batches.actions.finding import find_batch
from batches.comparison.choosing import MOST_BATCHES, check_comparable, truths_of
from batches.comparison.comparison_csv import comparison_lines
from batches.comparison.disagreements import FieldSideBySide, rows_side_by_side
from batches.comparison.figures import (
    BatchFigures,
    ComparisonFigures,
    FieldFigures,
    PairFigures,
    comparison_figures,
)
from batches.comparison.intervals import Figure
from batches.comparison.judging import JudgementFigures, judged_ids, judgement_figures
from batches.formats import NOTHING, dollars, duration
from batches.management.bulk.next_steps import SHORT_ID_CHARS
from batches.management.bulk.output import check_outputs, opened_output, written_to
from batches.management.bulk.usage import UsageError
from batches.management.subcommands.batch_rows import SHOWN_NAME_CHARS
from batches.management.subcommands.judges import (
    add_judge_options,
    create_judge,
    judgement_lines,
    write_created,
)
from batches.management.subcommands.subcommand import Options, Subcommand
from batches.management.subcommands.tables import is_spacious, write_json, write_table
from batches.management.terminal import excerpt
from batches.models import Batch

SHOWN_ROWS = 5
SHOWN_CHARS = 60
SHOWN_PAIRS = 20
BATCH_COLUMNS = (
    *("BATCH", "NAME", "MODEL", ">COST", ">PER 1,000", ">TOKENS IN", ">TOKENS OUT"),
    *(">P50", ">P95"),
)
SHARE_COLUMNS = (
    *("SHARE OF ROWS", "BATCH", ">SHARE", ">95 % INTERVAL", ">DIFFERENCE TO 1", ">95 % INTERVAL"),
)
FIELD_COLUMNS = (
    *("FIELD", "BATCH", ">AGREES WITH 1", ">95 % INTERVAL", ">MEAN DIFFERENCE"),
    ">MEDIAN DISTANCE",
)


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "ids",
        metavar="ID",
        nargs="+",
        help=f"2 to {MOST_BATCHES} batches of one owner; the others are compared with the first",
    )
    parser.add_argument(
        "--truth",
        action="append",
        default=[],
        metavar="FIELD=COLUMN",
        help="a field of the answers, and the column of the table with its true value; the field "
        "of answers that are texts is `answer`. May be repeated",
    )
    add_judge_options(parser)
    parser.add_argument("--output", help="CSV file for all rows side by side")
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(options: Options, out: TextIO) -> None:
    """Write the figures, and the first rows that disagree; this reads every result."""
    _check_output(options)
    batches = [find_batch(text) for text in options["ids"]]
    check_comparable(batches)
    truths = truths_of(options["truth"], batches)
    judged = _judged(options, batches)
    found = comparison_figures(batches, truths=truths)
    judge = create_judge(batches, options["judge"]) if options["judge"] else None
    if options["json"]:
        more = {
            "judge": judge and judge.public_id,
            "judgements": judged and judged.as_dict(),
        }
        write_json(out, {**found.as_dict(), **more})
    else:
        _write(out, batches, found, truths)
        if judged:
            out.writelines(f"{line}\n" for line in judgement_lines(judged))
        if judge:
            write_created(out, judge, batches)
    if options["output"]:
        with written_to([options["output"]]), opened_output(options["output"]) as file:
            file.writelines(line.decode() for line in comparison_lines(batches, truths=truths))


def _judged(options: Options, batches: Sequence[Batch]) -> JudgementFigures | None:
    """Return the judgements of --judged, if it is given. Raise NotPossible."""
    if options["judged"] and options["judge"]:
        raise UsageError("give either --judge, for a new batch, or --judged, for one that has run")
    if options["judge"]:
        # Before every result is read.
        judged_ids(batches)
    found = options["judged"]
    return judgement_figures(find_batch(found), batches) if found else None


def _check_output(options: Options) -> None:
    """Raise UsageError unless the rows can be written."""
    name = options["output"]
    if name and not name.lower().endswith(".csv"):
        raise UsageError(f"--output {name}: the rows are CSV; name a file that ends in .csv")
    check_outputs(options)


def _write(
    out: TextIO, batches: Sequence[Batch], found: ComparisonFigures, truths: dict[str, str]
) -> None:
    out.write(f"{found.rows:,} rows are in each batch and are compared.\n")
    for line in _notes(found):
        out.write(f"{line}\n")
    is_wide = is_spacious(out)
    rows = [_batch_row(n, one, whole_id=is_wide) for n, one in enumerate(found.batches, 1)]
    write_table(out, BATCH_COLUMNS, rows)
    out.write("\n")
    write_table(out, SHARE_COLUMNS, _share_rows(found))
    if any(field.pairs for field in found.fields):
        out.write("\n")
        write_table(out, FIELD_COLUMNS, _field_rows(found.fields))
    for field in found.fields:
        for pair in field.pairs:
            _write_values(out, field, pair)
    if truths:
        out.write("\n")
    for field in found.fields:
        out.writelines(f"{line}\n" for line in _verdict(field, found.batches))
    _write_rows(out, batches, truths)


def _notes(found: ComparisonFigures) -> Iterator[str]:
    """Yield what is missing, and what else must be known to read the figures."""
    if found.by_place:
        yield "The rows have no custom_id of their own; they are matched by their place."
    for number, batch in enumerate(found.batches, 1):
        if batch.left_out:
            yield f"Batch {number}: {batch.left_out}; left out."
    if found.fields_left_out:
        yield f"The answers have more fields than the {len(found.fields)} that are compared."


def _batch_row(number: int, batch: BatchFigures, *, whole_id: bool) -> tuple[str, ...]:
    return (
        f"{number} {batch.batch_id if whole_id else batch.batch_id[:SHORT_ID_CHARS]}",
        excerpt(batch.name, most=SHOWN_NAME_CHARS) or "-",
        batch.model or "several",
        dollars(batch.cost),
        dollars(batch.cost_per_1000),
        f"{batch.input_tokens:,}",
        f"{batch.output_tokens:,}",
        duration(batch.p50_s),
        duration(batch.p95_s),
    )


def _share_rows(found: ComparisonFigures) -> Iterator[tuple[str, ...]]:
    """Yield shares of rows by batch, with their differences to the first batch."""
    for number, one in enumerate(found.batches, 1):
        yield _share_row("succeeded", number, one.succeeded, one.succeeded_difference)
    for number, one in enumerate(found.batches, 1):
        if one.fits:
            yield _share_row("fits the schema", number, one.fits, one.fits_difference)
    for number, one in enumerate(found.batches[1:], 2):
        yield _share_row("agrees with 1", number, one.agreement, None)
    for field in found.fields:
        if field.truth is not None:
            both = zip(field.truth.accuracy, field.truth.difference, strict=True)
            for number, (accuracy, difference) in enumerate(both, 1):
                yield _share_row(f"{field.name} right", number, accuracy, difference)


def _share_row(
    what: str, number: int, share: Figure | None, difference: Figure | None
) -> tuple[str, ...]:
    return (
        what,
        str(number),
        _share(share),
        _interval(share),
        _share(difference, sign="+"),
        _interval(difference, sign="+"),
    )


def _field_rows(fields: Iterable[FieldFigures]) -> Iterator[tuple[str, ...]]:
    for field in fields:
        for pair in field.pairs:
            yield (
                field.name,
                str(pair.place + 1),
                _share(pair.agreement),
                _interval(pair.agreement),
                _number(pair.mean_difference.value if pair.mean_difference else None),
                _number(pair.median_distance),
            )


def _verdict(field: FieldFigures, batches: Sequence[BatchFigures]) -> Iterator[str]:
    """Yield which batch is right most often in a field, if a difference is shown."""
    truth, name = field.truth, excerpt(field.name)
    if truth is None:
        return
    if truth.unknown:
        yield f"{name}: {truth.unknown:,} rows have no truth in column {excerpt(truth.column)}."
    if truth.best is None:
        yield f"{name}: no difference is shown over {truth.rows:,} rows."
    else:
        best = batches[truth.best]
        yield f"{name}: batch {truth.best + 1} is best ({excerpt(best.name) or best.batch_id})."


def _write_values(out: TextIO, field: FieldFigures, pair: PairFigures) -> None:
    """Write the pairs of values of a field, most frequent first, if some differ."""
    agreement, table = pair.agreement, pair.table
    if table is None or agreement is None or agreement.value == 1:
        return
    met = [
        (n, first, other)
        for first, counts in table.lines
        for other, n in zip(table.values, counts, strict=True)
        if n
    ]
    met.sort(key=lambda one: -one[0])
    other = f"BATCH {pair.place + 1}"
    out.write(f"\n{excerpt(field.name)}:\n")
    rows = [(first, second, f"{n:,}") for n, first, second in met[:SHOWN_PAIRS]]
    write_table(out, ("BATCH 1", other, ">ROWS"), rows)
    if len(met) > SHOWN_PAIRS:
        out.write(f"and {len(met) - SHOWN_PAIRS} rarer pairs of values\n")


def _write_rows(out: TextIO, batches: Sequence[Batch], truths: dict[str, str]) -> None:
    found = rows_side_by_side(batches, after=-1, limit=SHOWN_ROWS, truths=truths)
    if found.rows:
        out.write("\nFirst rows that disagree:\n")
    for row in found.rows:
        for field in row.fields:
            if not field.is_same:
                out.write(f"{excerpt(row.custom_id)}: {_side_by_side(field)}\n")


def _side_by_side(field: FieldSideBySide) -> str:
    texts = (
        "".join(piece.text for piece in pieces if number == 0 or piece.mark != "removed")
        for number, pieces in enumerate(field.values)
    )
    shown = " | ".join(excerpt(text, most=SHOWN_CHARS) for text in texts)
    truth = f" (truth: {excerpt(field.truth, most=SHOWN_CHARS)})" if field.truth else ""
    return f"{excerpt(field.name, most=SHOWN_CHARS)}: {shown}{truth}"


def _share(figure: Figure | None, *, sign: str = "") -> str:
    return NOTHING if figure is None else f"{100 * figure.value:{sign}.1f} %"


def _interval(figure: Figure | None, *, sign: str = "") -> str:
    if figure is None:
        return NOTHING
    return f"{100 * figure.low:{sign}.1f} to {100 * figure.high:{sign}.1f} %"


def _number(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.4g}"


COMPARE = Subcommand(
    run,
    (
        "1a2b 3c4d",
        "1a2b 3c4d 5e6f --truth sentiment=label",
        "1a2b 3c4d --output rows.csv",
        "1a2b 3c4d --judge some-model",
    ),
    add_arguments,
)
