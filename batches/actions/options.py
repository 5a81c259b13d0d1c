"""The options of a batch: bounds, defaults, labels and help texts, shared by all entry points.

The API, the admin's form, the command and Python read them here; columns have the same names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from batches.engine.endpoints import CHAT
from batches.engine.plain_text import storable_text
from batches.engine.records import (
    DEFAULT_BATCH_SIZE,
    DEFAULT_TIMEOUT_S,
    LadderOptions,
    Order,
    Reuse,
    Schedule,
)
from batches.engine.retry import RetryPolicy
from batches.limits.escalation import Escalations
from batches.limits.rules import NamedFields, Rules

_LADDER = LadderOptions()
# The smallest budget that can be stored.
LEAST_COST = Decimal("0.000001")

MaxCost = Annotated[
    float,
    Field(
        ge=float(LEAST_COST),
        le=1e7,
        title="Budget (USD)",
        description="The batch pauses when this is spent. Needs the prices of its models.",
    ),
]
MaxTokens = Annotated[
    int,
    Field(
        ge=1,
        le=10**15,
        title="Token limit",
        description="The batch pauses when this many tokens are used, in and out together.",
    ),
]


class RunOptions(BaseModel):
    """Options for running the prompts of a batch."""

    batch_size: Annotated[
        int,
        Field(
            ge=1,
            le=10_000,
            title="Concurrent calls",
            description="Calls in flight at once, for each worker.",
        ),
    ] = DEFAULT_BATCH_SIZE
    schedule: Annotated[
        Schedule,
        Field(
            description="rolling keeps the window of calls full; lockstep waits for the slowest "
            "call of each chunk.",
        ),
    ] = "rolling"
    order: Annotated[
        Order,
        Field(
            title="Order of sending",
            description="input sends prompts in their order; prefix sends prompts that begin alike "
            "together, for providers that cache beginnings. Results are in the order of the input.",
        ),
    ] = "input"
    reuse: Annotated[
        Reuse,
        Field(
            title="Use answers again",
            description="off sends every prompt; batch sends equal requests of the batch once; "
            "owner uses answers to equal requests of your earlier batches too.",
        ),
    ] = "off"
    parallelism: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            title="Workers",
            description="Workers that run this batch at once, each with its own window of calls.",
        ),
    ] = 1
    priority: Annotated[
        int, Field(ge=-100, le=100, description="Batches with a higher number are run first.")
    ] = 0
    max_attempts: Annotated[
        int,
        Field(
            ge=1,
            le=100,
            title="Max attempts per prompt",
            description="Calls for one prompt that may cost something, the first one included.",
        ),
    ] = RetryPolicy().max_attempts
    timeout_s: Annotated[
        float,
        Field(
            gt=0, le=3600, title="Timeout per call (s)", description="Seconds that a call may take."
        ),
    ] = DEFAULT_TIMEOUT_S
    max_cost: MaxCost | None = None
    max_tokens_total: MaxTokens | None = None
    extract_json: Annotated[
        bool,
        Field(
            title="Extract JSON",
            description="Accept JSON that stands between fences or in prose.",
        ),
    ] = _LADDER.extract_json
    repair_json: Annotated[
        bool,
        Field(title="Repair broken JSON", description="Repair the syntax of JSON in answers."),
    ] = _LADDER.repair_json
    max_repair_attempts: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            title="Repair attempts",
            description="How often to ask the model again, quoting the validation errors.",
        ),
    ] = _LADDER.max_repair_attempts
    strict_schemas: Annotated[
        bool,
        Field(
            title="Strict schemas",
            description="Send schemas in the form that the provider's strict mode accepts.",
        ),
    ] = False


# The bound of `Pilot.rows`; a larger pilot than its batch is the whole batch. With a column, the
# rows are stored.
MAX_PILOT_ROWS = 100_000_000
MAX_GROUPED_ROWS = 1_000
PILOT_BY = (
    "A column of the table: the pilot has rows with each of its values, in about their proportions."
)


class Pilot(NamedFields):
    """A sample of a batch that is run first; then the batch waits until it is resumed.

    With `continue_when`, it goes on by itself if all these rules hold for the outcomes of the
    pilot; without any rule in it, always.
    """

    rows: Annotated[
        int,
        Field(
            ge=1,
            le=MAX_PILOT_ROWS,
            description="Prompts that are run first, evenly spread over the batch.",
        ),
    ]
    by: Annotated[str, Field(min_length=1, max_length=1000, description=PILOT_BY)] | None = None
    continue_when: Rules | None = None

    @field_validator("by")
    @classmethod
    def _check_by(cls, by: str | None, info: ValidationInfo) -> str | None:
        if by is not None and storable_text(by) != by:
            raise ValueError("has characters that cannot be stored")
        if by is not None and info.data.get("rows", 0) > MAX_GROUPED_ROWS:
            raise ValueError(f"a pilot by a column has at most {MAX_GROUPED_ROWS:,} rows")
        return by


class BatchOptions(RunOptions):
    """All options of a batch; `defaults` are fields of every request.

    A prompt's own fields take precedence over `defaults`. Raise pydantic's ValidationError for an
    unknown option or a value out of bounds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    # Empty for the name of the input file.
    name: str = ""
    endpoint: str = CHAT
    defaults: Mapping[str, Any] = Field(default_factory=dict)
    completion_window: timedelta | None = None
    in_background: bool = True
    output_expires_after_s: int | None = None
    metadata: Mapping[str, str] = Field(default_factory=dict)
    callback_url: str = ""
    pilot: Pilot | None = None
    stop_when: Rules | None = None
    escalate: Escalations = Field(default_factory=list)


def stored_cost(dollars: float | None) -> Decimal | None:
    """Return a budget as it is stored, to the millionth of a dollar."""
    return None if dollars is None else Decimal(str(dollars)).quantize(LEAST_COST)


def stored_rules(rules: Rules | None) -> dict[str, float] | None:
    """Return the rules for a running batch as they are stored; None if there is no bound."""
    return (rules.stored() or None) if rules else None


@dataclass(frozen=True, slots=True)
class Option:
    """The label, help and bounds of a run option for an entry point.

    `above` is an exclusive lower bound; None means no bound.
    """

    label: str
    help: str
    default: Any
    least: float | None = None
    above: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()


def _option(schema: Mapping[str, Any]) -> Option:
    # An optional field is described as one of two types; the other is null.
    schema = {**schema, **schema.get("anyOf", [{}])[0]}
    return Option(
        label=schema["title"],
        help=schema["description"],
        default=schema["default"],
        least=schema.get("minimum"),
        above=schema.get("exclusiveMinimum"),
        most=schema.get("maximum"),
        choices=tuple(schema.get("enum", ())),
    )


RUN_OPTIONS = {
    name: _option(schema) for name, schema in RunOptions.model_json_schema()["properties"].items()
}
