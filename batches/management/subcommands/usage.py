"""`batches usage`: calls, tokens and cost by provider and model."""

from datetime import timedelta
from typing import Any, TextIO

from django.core.management.base import CommandParser
from django.db.models import Count, Sum
from django.utils import timezone

from batches.formats import dollars
from batches.limits.prices import is_priced
from batches.management.bulk.usage import whole_number
from batches.management.subcommands.subcommand import Options, Subcommand
from batches.management.subcommands.tables import write_json, write_table
from batches.models import Batch, Provider

USUAL_DAYS = 30
MOST_DAYS = 36_500
SUMS = {
    "batches": Count("pk"),
    "prompts": Sum("total"),
    "calls": Sum("calls"),
    "input_tokens": Sum("input_tokens"),
    "output_tokens": Sum("output_tokens"),
    "cost": Sum("cost"),
}
COUNTS = [name for name in SUMS if name != "cost"]
COLUMNS = (
    *("PROVIDER", "MODEL", ">BATCHES", ">PROMPTS", ">CALLS"),
    *(">TOKENS IN", ">TOKENS OUT", ">COST"),
)
SEVERAL_MODELS = "(several)"


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--days",
        type=whole_number(1, MOST_DAYS),
        default=USUAL_DAYS,
        metavar="N",
        help=f"count batches that were created in this many days (default {USUAL_DAYS})",
    )


def run(options: Options, out: TextIO) -> None:
    """Write the sums of the batches of the last days, in two queries."""
    rows = _rows(options["days"])
    total = {name: sum(row[name] for row in rows) for name in SUMS}
    if options["json"]:
        write_json(out, {"days": options["days"], "models": rows, "total": total})
        return
    cells = [(row["provider"], row["model"] or SEVERAL_MODELS, *_figures(row)) for row in rows]
    write_table(out, COLUMNS, [*cells, ("total", "", *_figures({**total, "priced": True}))])
    if not all(row["priced"] for row in rows):
        out.write("The price of a model is unknown; the total is without it.\n")


def _rows(days: int) -> list[dict[str, Any]]:
    since = timezone.now() - timedelta(days=days)
    recent = Batch.objects.filter(created_at__gte=since, deleted_at=None)
    summed = recent.values("provider", "model").annotate(**SUMS)
    rows: list[dict[str, Any]] = list(map(dict, summed))
    rows.sort(key=lambda row: (-row["cost"], -row["input_tokens"], row["model"]))
    providers = Provider.objects.in_bulk({row["provider"] for row in rows})
    return [
        {
            **row,
            "provider": providers[row["provider"]].name,
            "priced": not row["input_tokens"] + row["output_tokens"]
            or bool(row["cost"])
            or is_priced(providers[row["provider"]], row["model"]),
        }
        for row in rows
    ]


def _figures(row: dict[str, Any]) -> tuple[str, ...]:
    cost = dollars(row["cost"]) if row["priced"] else "unknown"
    return (*(f"{row[name]:,}" for name in COUNTS), cost)


USAGE = Subcommand(run, ("", "--days 7 --json"), add_arguments)
