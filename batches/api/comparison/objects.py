"""The API object of a comparison of batches."""

from pydantic import BaseModel

from batches.api.fields import BatchId, ModelName, shown


class FigureObject(BaseModel):
    """A figure of some rows, with the bounds of its 95 % interval."""

    value: float = shown(0.9)
    low: float = shown(0.83)
    high: float = shown(0.95)
    rows: int = shown(100)


class ComparedBatchObject(BaseModel):
    """A batch over the compared rows. Differences and agreement are to the first batch, and null
    for that one. `absent` rows of the first batch are not in it, `open` ones have no result, and
    `too_long` ones are not compared; `extra` rows are only in it, null if not all were read."""

    batch_id: BatchId
    name: str = shown("reviews.csv")
    model: ModelName
    provider: str = shown("simulated")
    total: int = shown(100)
    succeeded: FigureObject | None
    succeeded_difference: FigureObject | None
    fits: FigureObject | None
    fits_difference: FigureObject | None
    agreement: FigureObject | None
    input_tokens: int = shown(700)
    output_tokens: int = shown(2600)
    cost: float | None = shown(0.0013)
    cost_per_1000: float | None = shown(0.013)
    p50_s: float | None = shown(0.4)
    p95_s: float | None = shown(0.9)
    absent: int = shown(0)
    open: int = shown(0)
    too_long: int = shown(0)
    extra: int | None = shown(0)


class ValueTableObject(BaseModel):
    """The rows with a value of the first batch (a line) and one of another batch (a column)."""

    values: list[str] = shown(["good", "bad"])
    counts: list[list[int]] = shown([[48, 2], [5, 45]])


class FieldPairObject(BaseModel):
    """A field in the first batch and in the batch of `place`, counted from 0. Numbers are compared
    as the other minus the first; null if the values are no numbers."""

    place: int = shown(1)
    agreement: FigureObject | None
    table: ValueTableObject | None
    mean_difference: FigureObject | None
    median_distance: float | None = shown(None)


class TruthObject(BaseModel):
    """The accuracy of each batch in a field. `best` is the place of the best batch, counted from 0;
    null if no difference is shown."""

    column: str = shown("label")
    rows: int = shown(100)
    unknown: int = shown(0)
    accuracy: list[FigureObject | None]
    difference: list[FigureObject | None]
    best: int | None = shown(1)


class ComparedFieldObject(BaseModel):
    """A field of the answers; `answer` if they are texts."""

    name: str = shown("sentiment")
    pairs: list[FieldPairObject]
    truth: TruthObject | None


class ComparisonObject(BaseModel):
    """A comparison over `rows` rows that each batch has. `read` is the number of rows that were
    read, null if all were. With `by_place`, rows have no custom_id of their own."""

    rows: int = shown(100)
    read: int | None = shown(None)
    by_place: bool = shown(False)  # noqa: FBT003 - an example
    batches: list[ComparedBatchObject]
    fields: list[ComparedFieldObject]
    fields_left_out: bool = shown(False)  # noqa: FBT003 - an example
