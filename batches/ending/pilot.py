"""The report on a pilot: the outcomes of its prompts, and the likely cost of the whole batch."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import cached_property
from itertools import islice
from typing import Any

from pydantic_core import from_json

from batches.ending.projection import Projection, projected
from batches.engine.errors import FailureKind
from batches.engine.records import Usage
from batches.formats import count, dollars, duration
from batches.leases.pilot_sample import GroupedSample, PilotSample, pilot_sample
from batches.limits.asked_models import asked_in, cost_of_asked
from batches.limits.prices import PriceList, price_list_of
from batches.limits.rules import RunFigures
from batches.models import Batch, Result
from batches.models.bounds import IDS_IN_A_QUERY

# Of a larger pilot, evenly spread prompts are read.
MOST_READ = 10_000

# Failures of answers that do not fit their schema.
_UNFIT = (FailureKind.NOT_JSON, FailureKind.SCHEMA_VIOLATION)


@dataclass(frozen=True, slots=True)
class PilotReport:
    """The figures of a pilot. `prompts` have a result; `fits` is the share of answers that fit
    their schema, None if no schema was asked for. Tokens and dollars are for each prompt, and
    projected for all prompts of the batch; dollars are None if a price is unknown. `expected_s` is
    the time that the prompts without a result will take at the limits that are set on the provider,
    None if there are none left."""

    prompts: int
    total: int
    failed: int
    failures: dict[str, int]
    fits: float | None
    tokens_per_row: float
    cost_per_row: float | None
    tokens: Projection | None
    cost: Projection | None
    expected_s: float | None

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def figures(self) -> RunFigures:
        """Return the outcomes as rules judge them."""
        cost = None if self.cost_per_row is None else Decimal(str(self.cost_per_row)) * self.prompts
        return RunFigures(self.prompts, self.failed, cost)

    def __str__(self) -> str:
        text = f"pilot of {self.prompts:,} prompt{'s' * (self.prompts != 1)} done: "
        text += f"{self.failed:,} failed"
        return f"{text}, {self.outlook}" if self.outlook else text

    @property
    def outlook(self) -> str:
        """Return what the whole batch will cost in words; "" if nothing is known of it."""
        whole = f"for all {self.total:,} prompts"
        if self.cost is not None:
            low, high = _money(self.cost.low), _money(self.cost.high)
            return f"about {_money(self.cost.likely)} ({low} to {high}) {whole}"
        if self.tokens is not None:
            low, high = count(self.tokens.low), count(self.tokens.high)
            return f"about {count(self.tokens.likely)} tokens ({low} to {high}) {whole}"
        return ""

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the figures with their labels, for a table."""
        yield "pilot", f"{self.prompts:,} prompts, {self.failed:,} failed{self._kinds()}"
        if self.fits is not None:
            yield "fits its schema", f"{self.fits:.1%}"
        yield "tokens per prompt", count(self.tokens_per_row)
        if self.cost_per_row is not None:
            yield "cost per prompt", f"${self.cost_per_row:.6f}"
        if self.outlook:
            yield "whole batch", f"{self.outlook}, with 90% confidence"
        if self.expected_s is not None:
            yield "time for the rest", f"about {duration(self.expected_s)}"

    def _kinds(self) -> str:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in self.failures.items())
        return f" ({kinds})" if kinds else ""


def pilot_report(batch: Batch) -> PilotReport | None:
    """Return the report on the pilot of a batch so far; None if it has no pilot with a gate, or no
    prompt of the pilot has a result."""
    sample = pilot_sample(batch)
    rows = _rows(batch, sample) if sample else []
    if sample is None or not rows:
        return None
    return _Figures(batch, sample, rows).report()


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns of a result that the report needs."""

    index: int
    kind: str
    rung: str
    tokens: int
    cost: float | None
    elapsed_s: float


class _Figures:
    def __init__(self, batch: Batch, sample: PilotSample, rows: Sequence[_Row]) -> None:
        self._batch = batch
        self._sample = sample
        self._rows = rows

    def report(self) -> PilotReport:
        total, rows, costs = self._batch.total, self._rows, self._costs
        tokens = [float(row.tokens) for row in rows]
        all_tokens, cost = self._projected(tokens), self._projected(costs)
        kinds = Counter(row.kind for row in rows if row.kind)
        return PilotReport(
            prompts=len(rows),
            total=total,
            failed=kinds.total(),
            failures=dict(sorted(kinds.items(), key=lambda entry: (-entry[1], entry[0]))),
            fits=self._fits(kinds),
            tokens_per_row=all_tokens.likely / total if all_tokens else tokens[0],
            cost_per_row=cost.likely / total if cost else next(iter(costs), None),
            tokens=all_tokens,
            cost=cost,
            expected_s=self._expected_s(),
        )

    def _projected(self, values: Sequence[float]) -> Projection | None:
        """Return the sum over the batch of values that are known for these rows."""
        if not values:
            return None
        if not isinstance(self._sample, GroupedSample):
            return projected((values, self._batch.total))
        by_index = {row.index: value for row, value in zip(self._rows, values, strict=True)}
        return projected(
            *(
                ([by_index[index] for index in group.indexes if index in by_index], group.total)
                for group in self._sample.groups
            )
        )

    @cached_property
    def _costs(self) -> list[float]:
        """Return the cost of each row; nothing if one is unknown."""
        costs = [row.cost for row in self._rows if row.cost is not None]
        return costs if len(costs) == len(self._rows) else []

    def _fits(self, kinds: Counter[str]) -> float | None:
        fitting = sum(bool(row.rung) for row in self._rows if not row.kind)
        unfit = sum(kinds[kind] for kind in _UNFIT)
        return fitting / (fitting + unfit) if fitting + unfit else None

    def _expected_s(self) -> float | None:
        batch, provider = self._batch, self._batch.provider
        left = batch.total - batch.succeeded - batch.failed
        if not left:
            return None
        calls = batch.batch_size * batch.parallelism
        calls = min(calls, provider.max_in_flight or calls)
        tokens = left * sum(row.tokens for row in self._rows) / len(self._rows)
        times = [left * sum(row.elapsed_s for row in self._rows) / len(self._rows) / calls]
        if provider.requests_per_minute:
            times.append(60 * left / provider.requests_per_minute)
        if provider.tokens_per_minute:
            times.append(60 * tokens / provider.tokens_per_minute)
        return max(times)


def _rows(batch: Batch, sample: PilotSample) -> list[_Row]:
    """Read the results of the pilot, of a large one evenly spread ones."""
    places = list(islice(sample, 0, None, -(-sample.rows // MOST_READ)))
    found: list[_Row] = []
    prices, cached = price_list_of(batch.provider), _share_of_cached(batch)
    columns = ["index", "kind", "rung", "input_tokens", "output_tokens", "elapsed_s", "escalation"]
    # Only where prompts have models of their own, these are read.
    own = [] if batch.model else ["prompt__body"]
    for start in range(0, len(places), IDS_IN_A_QUERY):
        some = places[start : start + IDS_IN_A_QUERY]
        # With the status, the database finds them by an index.
        results = Result.objects.filter(
            batch=batch, status__in=(Result.SUCCEEDED, Result.FAILED), index__in=some
        ).exclude(kind__in=Result.NEVER_RAN)
        for index, kind, rung, given, made, elapsed_s, asked, *body in results.values_list(
            *columns, *own
        ):
            usage = Usage(given, made, cached_tokens=round(cached * given))
            if asked:
                cost = _as_float(cost_of_asked(prices, asked_in(asked)))
            else:
                cost = _cost(prices, _model_of(batch, *body), usage)
            found.append(_Row(index, kind, rung, given + made, cost, elapsed_s))
    return found


def _cost(prices: PriceList, model: str, usage: Usage) -> float | None:
    if not usage.input_tokens and not usage.output_tokens:
        # A prompt that was refused costs nothing, whatever its model costs.
        return 0.0
    return _as_float(prices.cost(model, usage))


def _as_float(cost: Decimal | None) -> float | None:
    return None if cost is None else float(cost)


def _share_of_cached(batch: Batch) -> float:
    """Return the share of input tokens that came from a cache: results do not have it."""
    return batch.cached_tokens / batch.input_tokens if batch.input_tokens else 0.0


def _model_of(batch: Batch, body: str | None = None) -> str:
    own = None if body is None else from_json(body).get("model")
    return str(own or batch.model or batch.defaults.get("model", ""))


def _money(amount: float) -> str:
    return dollars(Decimal(str(amount)))
