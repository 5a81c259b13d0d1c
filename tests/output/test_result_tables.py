"""The results of a batch with a template, as a table and as lines with their rows."""

import csv
import io
import json
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User

from batches.actions import batches as batch_actions
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import file_messages
from batches.limits.escalation import Escalation
from batches.models import Batch, File, Prompt, Provider, Result
from batches.output.csv import csv_lines
from batches.output.files import content_length, output_lines
from batches.output.jsonl import json_lines
from batches.output.parquet import parquet_pieces
from batches.runner.run import run_slice
from tests.api.calling import client_of
from tests.makers import MODEL, batch_of, options
from tests.runner.test_escalation import DEFAULTS, LARGE, PRICES, bad
from tests.runners import ended

pytestmark = pytest.mark.django_db


def ran(provider: Provider, table: str | bytes, *arguments: Any, **changes: Any) -> Batch:
    """A batch of a table that has ended."""
    return ended(created(provider, table, *arguments, **changes))


def created(
    provider: Provider,
    table: str | bytes,
    template: str = "{{ a }}",
    *,
    form: Any = "csv",
    **changes: Any,
) -> Batch:
    """A batch of a table."""
    messages = file_messages(template).messages
    reading = InputOptions(
        endpoint="/v1/chat/completions",
        defaults={"model": MODEL},
        max_line_bytes=1_000_000,
        format=form,
        template=RowTemplate(messages, max_chars=1_000_000),
    )
    source = batch_actions.TemplateSource("t", [message.model_dump() for message in messages])
    raw = table.encode() if isinstance(table, str) else table
    prompts = read_prompts(io.BytesIO(raw), reading)
    return batch_actions.create_batch(provider, prompts, options(**changes), template=source)


def table_of(batch: Batch) -> list[list[str]]:
    text = b"".join(csv_lines(batch)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def parquet_table(batch: Batch) -> pa.Table:
    return pq.read_table(io.BytesIO(b"".join(parquet_pieces(batch))))


def test_the_header_is_as_it_was_written(provider: Provider) -> None:
    batch = ran(provider, ' a ,,=b,"c\nd",,\nx,0,1,2,3,4\ny\n')
    header, first, second = table_of(batch)
    assert header[:6] == [" a ", "", "=b", "c\nd", "", ""]
    assert first[:6] == ["x", "0", "1", "2", "3", "4"]
    assert second[:6] == ["y", "", "", "", "", ""]


def test_an_answer_is_no_formula_but_the_cells_of_the_input_are_as_they_were(
    provider: Provider,
) -> None:
    batch = ran(provider, "a,b\n=1+1,-5\n")
    Result.objects.filter(batch=batch).update(
        body=json.dumps({"choices": [{"message": {"content": "=cmd()"}}]})
    )
    [_, row] = table_of(batch)
    assert row[:3] == ["=1+1", "-5", "'=cmd()"]
    assert [warning["code"] for warning in batch.warnings] == ["formula_cells"]


def test_the_cost_of_a_row_is_by_the_price_of_the_model(provider: Provider) -> None:
    Provider.objects.filter(pk=provider.pk).update(
        prices={MODEL: {"input": 1_000, "output": 2_000}}
    )
    batch = ran(provider, "a\nx\ny\n")
    batch = Batch.objects.get(pk=batch.pk)
    header, *rows = table_of(batch)
    for row in rows:
        told = dict(zip(header, row, strict=True))
        expected = Decimal(told["input_tokens"]) / 1000 + Decimal(told["output_tokens"]) / 500
        assert Decimal(told["cost"]) == expected
    assert sum(Decimal(row[header.index("cost")]) for row in rows) == batch.cost


def test_the_cost_of_a_row_is_the_one_of_all_models_that_were_asked(provider: Provider) -> None:
    provider.prices = PRICES
    provider.save()
    batch = ran(
        provider,
        f"a\nx {bad(MODEL)}\ny\n",
        defaults=DEFAULTS,
        max_repair_attempts=0,
        escalate=[Escalation(model=LARGE)],
    )
    header, *rows = table_of(batch)
    costs = [Decimal(row[header.index("cost")]) for row in rows]
    assert sum(costs) == batch.cost
    assert costs[0] > 20 * costs[1]


def test_cells_of_json_lines_are_written_as_json(provider: Provider) -> None:
    rows = '{"a": "x", "n": 5, "ok": true}\n{"a": "y", "none": null, "f": 1.5}\n'
    batch = ran(provider, rows, form="jsonl")
    header, first, second = table_of(batch)
    assert header[:5] == ["a", "n", "ok", "none", "f"]
    assert first[:5] == ["x", "5", "true", "", ""]
    assert second[:5] == ["y", "", "", "", "1.5"]


def test_json_lines_have_their_row(provider: Provider) -> None:
    batch = ran(provider, 'a,b\n"x\u2028\ny",1\n[simulate: status=400],2\n')
    lines = "".join(json_lines(batch)).split("\n")[:-1]
    assert all(len(line.splitlines()) == 1 for line in lines)
    found = [json.loads(line) for line in lines]
    assert [line["row"] for line in found] == [
        {"a": "x\u2028\ny", "b": "1"},
        {"a": "[simulate: status=400]", "b": "2"},
    ]
    assert list(found[0]) == ["id", "custom_id", "response", "error", "row"]


def test_the_size_of_an_output_file_counts_the_rows(provider: Provider) -> None:
    batch = ran(provider, "a\nx\n[simulate: status=400]\n")
    for file in File.objects.all():
        lines = output_lines(file)
        assert lines is not None
        assert content_length(file) == sum(map(len, lines)) > 0
    assert batch.output_bytes is None


def test_the_results_of_the_api_have_their_row(provider: Provider) -> None:
    user = User.objects.create_user("o", is_staff=True)
    batch = ran(provider, "a,b\nx,1\n")
    [result] = client_of(user).get(f"/v1/batches/{batch.public_id}/results").json()["data"]
    assert result["row"] == {"a": "x", "b": "1"}
    assert result["usage"]["input_tokens"] > 0


def test_long_rows_make_short_pages(provider: Provider) -> None:
    batch = ran(provider, "a,b\n" + f"x,{'y' * 900_000}\n" * 6)
    assert len(table_of(batch)) == 7
    assert Prompt.objects.filter(batch=batch).count() == 6


def test_a_batch_without_a_template_has_its_usual_table(provider: Provider) -> None:
    batch = batch_actions.create_batch(
        provider,
        read_prompts(
            io.BytesIO(b"a\n"),
            InputOptions(
                endpoint="/v1/chat/completions",
                defaults={"model": MODEL},
                max_line_bytes=1000,
                format="text",
            ),
        ),
        options(),
    )
    assert (batch.columns, batch.template) == (None, None)
    assert table_of(batch)[0][:3] == ["index", "custom_id", "answer"]


@pytest.mark.parametrize("has_template", [True, False])
def test_a_table_says_where_answers_that_were_used_again_are_from(
    provider: Provider,
    has_template: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    def made(texts: str, **changes: Any) -> Batch:
        if has_template:
            return ran(provider, "a\n" + "\n".join(texts) + "\n", **changes)
        batch = batch_of(provider, list(texts), **changes)
        assert run_slice(batch.pk).ended
        batch.refresh_from_db()
        return batch

    earlier = made("x", reuse="owner")
    batch = made("yxy", reuse="owner")
    first, second = [
        f"{one.public_id}/{one.prompts.get(index=0).custom_id}" for one in (earlier, batch)
    ]
    header, *rows = table_of(batch)
    assert header[-1] == "reused_from"
    assert [row[-1] for row in rows] == ["", first, second]
    assert parquet_table(batch)["reused_from"].to_pylist() == [None, first, second]
    batch_actions.delete_batch(earlier)
    assert [row[-1] for row in table_of(batch)[1:]] == ["", "deleted", second]
    assert "reused_from" not in table_of(made("z"))[0]
