"""The figures of a comparison, from stored results."""

import json
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from batches.comparison.figures import OTHER, SHOWN_VALUES, comparison_figures
from batches.models import Provider
from tests.comparison.makers import OPEN, answered_batch
from tests.makers import MODEL
from tests.runner.test_escalation import LARGE, PRICES, TOP, bad, made
from tests.runners import ended

pytestmark = pytest.mark.django_db


@pytest.fixture
def priced(provider: Provider) -> Provider:
    provider.prices = {"simulated-small": {"input": 100, "output": 1000}}
    provider.save()
    return provider


def test_each_batch_has_its_figures_over_the_same_rows(priced: Provider) -> None:
    first = answered_batch(priced, {f"{n}": {"label": "x"} for n in range(10)})
    answers = {f"{n}": {"label": "x"} if n else ValueError("server") for n in range(8)}
    second = answered_batch(priced, {**answers, "8": OPEN, "20": {"label": "x"}})
    found = comparison_figures([first, second])
    assert (found.rows, found.read, found.by_place) == (8, None, False)
    one, two = found.batches
    assert one.succeeded is not None
    assert two.succeeded is not None
    assert (one.succeeded.value, two.succeeded.value, two.succeeded.rows) == (1.0, 7 / 8, 8)
    assert two.succeeded_difference is not None
    assert two.succeeded_difference.value == -1 / 8
    assert two.succeeded_difference.low < two.succeeded_difference.value < 0.1
    assert one.succeeded_difference is None
    assert two.agreement is not None
    assert two.agreement.value == 7 / 8
    assert (one.absent, one.open, one.extra) == (0, 0, 0)
    assert (two.absent, two.open, two.extra) == (1, 1, 1)
    assert (one.input_tokens, one.output_tokens) == (80, 40)
    # Dollars per million tokens.
    assert one.cost == Decimal(80 * 100 + 40 * 1000) / 1_000_000
    assert one.cost_per_1000 == one.cost * 125
    assert one.p50_s == pytest.approx(0.4)
    assert one.p95_s == pytest.approx(0.8)


def test_fields_agree_with_a_table_of_their_values(priced: Provider) -> None:
    labels = ["good"] * 6 + ["bad"] * 4
    first = answered_batch(
        priced, {f"{n}": {"label": label, "score": n} for n, label in enumerate(labels)}
    )
    second = answered_batch(
        priced, {f"{n}": {"label": "good", "score": n + n % 2} for n in range(10)}
    )
    label, score = comparison_figures([first, second]).fields
    assert (label.name, score.name) == ("label", "score")
    [pair] = label.pairs
    assert pair.agreement is not None
    assert (pair.agreement.value, pair.agreement.rows) == (0.6, 10)
    assert pair.table is not None
    assert pair.table.lines == [("good", [6, 0]), ("bad", [4, 0])]
    assert pair.mean_difference is None
    [pair] = score.pairs
    assert pair.mean_difference is not None
    assert pair.mean_difference.value == 0.5
    assert pair.median_distance == 0.5


def test_rare_values_are_one_value(priced: Provider) -> None:
    answers = {f"{n}": {"label": f"v{n % 20}" if n < 60 else "v0"} for n in range(61)}
    batch = answered_batch(priced, answers)
    table = comparison_figures([batch, batch]).fields[0].pairs[0].table
    assert table is not None
    assert len(table.values) == SHOWN_VALUES + 1
    assert (table.values[0], table.values[-1]) == ("v0", OTHER)
    assert table.counts[-1][-1] == 3 * (20 - SHOWN_VALUES)
    assert sum(map(sum, table.counts)) == 61


def test_accuracy_is_by_the_column_with_the_truth(priced: Provider) -> None:
    rows = {f"{n}": {"true label": "good" if n % 2 else "bad"} for n in range(100)}
    rows["0"] = {"true label": ""}
    always = answered_batch(priced, {key: {"label": "good"} for key in rows}, rows=rows)
    right = answered_batch(
        priced, {key: {"label": row["true label"].upper()} for key, row in rows.items()}
    )
    found = comparison_figures([always, right], truths={"label": "true label"})
    truth = found.fields[0].truth
    assert truth is not None
    assert (truth.rows, truth.unknown, truth.best) == (99, 1, 1)
    accuracies = [one.value for one in truth.accuracy if one]
    assert accuracies == [50 / 99, 1.0]
    assert truth.difference[0] is None
    assert truth.difference[1] is not None
    assert truth.difference[1].value == pytest.approx(49 / 99)
    same = comparison_figures([always, always], truths={"label": "true label"})
    assert same.fields[0].truth is not None
    assert same.fields[0].truth.best is None


def test_texts_have_no_schema_to_fit(priced: Provider) -> None:
    texts = answered_batch(priced, {"row-1": "fine"}, texts=True)
    objects = answered_batch(priced, {"row-1": {"label": "fine"}})
    found = comparison_figures([texts, objects])
    assert found.by_place
    assert [batch.fits and batch.fits.value for batch in found.batches] == [None, 1.0]
    # They have no field in common.
    assert found.fields == []
    assert found.batches[1].agreement is not None
    assert found.batches[1].agreement.value == 0


def test_only_the_first_rows_are_read_if_that_is_asked_for(priced: Provider) -> None:
    batch = answered_batch(priced, {f"{n}": {"label": "x"} for n in range(10)})
    found = comparison_figures([batch, batch], most_rows=4)
    assert (found.read, found.rows) == (4, 4)
    assert found.batches[1].extra is None
    assert comparison_figures([batch, batch], most_rows=10).read is None
    late = comparison_figures([batch, batch], most_s=0.0)
    assert late.read == 1


def test_queries_are_few_and_figures_become_json(priced: Provider) -> None:
    batches = [
        answered_batch(priced, {f"{n}": {"label": "x"} for n in range(50)}) for _ in range(4)
    ]
    with CaptureQueriesContext(connection) as queries:
        found = comparison_figures(batches)
    # A page of each batch, and one that says whether rows have IDs of their own.
    assert len(queries) == 4 + 1
    said = json.loads(json.dumps(found.as_dict(), default=float))
    assert said["batches"][3]["agreement"]["value"] == 1.0


def test_batches_without_a_common_row_have_no_figures(priced: Provider) -> None:
    first = answered_batch(priced, {"a": {"label": "x"}})
    second = answered_batch(priced, {"b": {"label": "x"}})
    found = comparison_figures([first, second], truths={"label": "y"})
    assert (found.rows, found.batches[1].extra) == (0, 1)
    assert found.batches[0].succeeded is None
    assert found.batches[0].cost_per_1000 is None
    truth = found.fields[0].truth
    assert truth is not None
    assert (truth.rows, truth.accuracy, truth.best) == (0, [], None)


def test_huge_numbers_have_no_mean(priced: Provider) -> None:
    batches = [
        answered_batch(priced, {"a": {"score": 1e308 * sign}, "b": {"score": 1}})
        for sign in (1, -1)
    ]
    [pair] = comparison_figures(batches).fields[0].pairs
    assert pair.mean_difference is not None
    assert (pair.mean_difference.value, pair.mean_difference.rows) == (0.0, 1)


@pytest.mark.parametrize("reuse", ["off", "owner"])
def test_the_cost_counts_each_model_that_was_asked(provider: Provider, reuse: str) -> None:
    provider.prices = PRICES
    provider.save()
    texts = ["one", f"two {bad(MODEL)}", "three"]
    cheap, climbing = (
        ended(made(provider, texts, *models, reuse=reuse)) for models in ((TOP,), (LARGE,))
    )
    found = comparison_figures([cheap, climbing]).batches
    # As the batches were charged, to the last digit of a token.
    assert [one.cost for one in found] == [cheap.cost, climbing.cost]
    if reuse == "owner":
        again = ended(made(provider, texts, LARGE, reuse=reuse))
        assert again.reused == 3
        assert comparison_figures([climbing, again]).batches[1].cost == climbing.cost
