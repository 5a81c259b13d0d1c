"""What docs/structured-output.md says becomes of each answer is what becomes of it."""

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, get_args

import pytest

from batches.actions import batches as batch_actions
from batches.actions.options import BatchOptions
from batches.ending.summary import summarise
from batches.engine.errors import FailureKind, PromptRejected
from batches.engine.prepare import with_response_schema
from batches.engine.records import Rung
from batches.inputs.prompt_files import InputOptions, prompts_of_objects, prompts_of_texts
from batches.inputs.prompts import LineError, NewPrompt
from batches.models import Batch, Provider, Result
from batches.output.jsonl import file_line, result_rows
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from simulator.effects import AnswerForm
from tests.makers import MODEL

CHAT = "/v1/chat/completions"
ENDPOINTS: tuple[str, ...] = (CHAT, "/v1/responses")
PAGE = Path(__file__).parent.parent.parent / "docs" / "structured-output.md"
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["city", "tags"],
    "additionalProperties": False,
}
ONLY_THE_FIRST = {"extract_json": False, "repair_json": False, "max_repair_attempts": 0}


def table() -> Iterator[tuple[str, str, str, str]]:
    """The rows of the table of answers."""
    _, _, after = PAGE.read_text().partition("| Answer | All rungs |")
    for line in after.splitlines()[2:]:
        if not line.startswith("|"):
            return
        form, every, first, again = (cell.strip() for cell in line.strip("|").split("|"))
        yield form, every, first, again


ROWS = list(table())


def structured(
    provider: Provider, texts: list[str], *, endpoint: str = CHAT, **changes: Any
) -> Batch:
    """A batch that asks for answers in the schema, and has run."""
    defaults = with_response_schema({"model": MODEL}, endpoint=endpoint, schema=SCHEMA)
    options = BatchOptions(endpoint=endpoint, defaults=defaults, **changes)
    reading = InputOptions(endpoint=endpoint, defaults=defaults, max_line_bytes=1_000_000)
    batch = batch_actions.create_batch(provider, list(prompts_of_texts(texts, reading)), options)
    assert run_slice(batch.pk).ended
    batch.refresh_from_db()
    return batch


def ends(batch: Batch) -> list[str]:
    """The rung of each answer, or the kind of its failure."""
    results = Result.objects.filter(batch=batch).order_by("index")
    return [result.rung or result.kind for result in results]


def test_the_table_has_every_form_and_every_end() -> None:
    assert {form for form, *_ in ROWS} == set(get_args(AnswerForm))
    found = {end for _, *some in ROWS for end in some}
    assert found == {rung.value for rung in Rung} | {
        *(FailureKind.REFUSAL, FailureKind.TRUNCATED, FailureKind.FILTERED),
        *(FailureKind.EMPTY, FailureKind.NOT_JSON, FailureKind.SCHEMA_VIOLATION),
    }


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_each_answer_ends_as_the_table_says(provider: Provider, endpoint: str) -> None:
    texts = [f"[simulate: answer={form}]" for form, *_ in ROWS]
    assert ends(structured(provider, texts, endpoint=endpoint)) == [row[1] for row in ROWS]
    only_the_first = structured(provider, texts, endpoint=endpoint, **ONLY_THE_FIRST)
    assert ends(only_the_first) == [row[2] for row in ROWS]
    mending = [f"[simulate: answer={form} turn=1]" for form, *_ in ROWS]
    assert ends(structured(provider, mending, endpoint=endpoint)) == [row[3] for row in ROWS]


@pytest.mark.parametrize("form", [form for form, *_ in ROWS])
def test_the_knob_of_the_provider_does_the_same(
    provider: Provider, simulator: SimulatedProvider, form: AnswerForm
) -> None:
    simulator.behaviour = Behaviour(answer_form=form)
    [row] = [row for row in ROWS if row[0] == form]
    assert ends(structured(provider, ["a", "b"])) == [row[1]] * 2


def test_what_fits_is_stored_beside_the_reply_as_it_came(provider: Provider) -> None:
    batch = structured(provider, ["[simulate: answer=trailing_comma]", "[simulate: answer=prose]"])
    for result in Result.objects.filter(batch=batch):
        value = json.loads(result.parsed or "")
        assert set(value) == {"city", "tags"}
        content = json.loads(result.body or "")["choices"][0]["message"]["content"]
        with pytest.raises(ValueError, match=r"."):
            json.loads(content)


def test_a_question_that_was_asked_again_is_in_the_counts(provider: Provider) -> None:
    once = structured(provider, ["a"])
    twice = structured(provider, ["[simulate: answer=not_json turn=1]"])
    assert (once.calls, twice.calls) == (1, 2)
    assert Result.objects.get(batch=twice).calls == 2
    assert twice.input_tokens > 2 * once.input_tokens
    assert Result.objects.get(batch=twice).input_tokens == twice.input_tokens


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_answers_before_the_last_one_are_kept(provider: Provider, endpoint: str) -> None:
    texts = ["[simulate: answer=not_json turn=1]", "[simulate: answer=not_json]", "good at once"]
    batch = structured(provider, texts, endpoint=endpoint, max_repair_attempts=2)
    results = Result.objects.filter(batch=batch).order_by("index")
    rejected = [json.loads(result.rejected or "[]") for result in results]
    assert [len(one) for one in rejected] == [1, 2, 0]
    for said, errors in [pair for one in rejected for pair in one]:
        assert said
        with pytest.raises(ValueError, match=r"."):
            json.loads(said)
        assert "JSON" in errors


def test_a_question_that_was_asked_again_costs_what_both_answers_cost(provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 10, "output": 20}}
    provider.save()
    once, twice = (
        structured(provider, [f"{how} tell"], max_cost=Decimal(1))
        for how in ("", "[simulate: answer=not_json turn=1]")
    )
    assert twice.calls == 2
    assert twice.input_tokens > 2 * once.input_tokens
    for batch in (once, twice):
        assert batch.cost == Decimal(10 * batch.input_tokens + 20 * batch.output_tokens) / 10**6


def test_answers_are_counted_by_rung_and_failures_by_kind(provider: Provider) -> None:
    forms = ["plain", "plain", "fenced", "trailing_comma", "refusal", "not_json"]
    batch = structured(provider, [f"[simulate: answer={form}] {n}" for n, form in enumerate(forms)])
    summary = summarise(batch)
    assert summary.rungs == {"extracted": 1, "parsed": 2, "repaired": 1}
    assert summary.failures == {"not_json": 1, "refusal": 1}


def test_lines_have_the_answer_that_fits_only_where_one_was_asked_for(provider: Provider) -> None:
    batch = structured(provider, ["[simulate: answer=fenced]", "[simulate: answer=refusal]"])
    good, refused = (json.loads(file_line(row)) for row in result_rows(batch))
    assert (set(good["parsed"]), good["rung"]) == ({"city", "tags"}, "extracted")
    assert good["response"]["status_code"] == 200
    assert set(refused) == {"id", "custom_id", "response", "error"}
    assert refused["error"]["code"] == "refusal"


def lines_of(*bodies: dict[str, Any], **changes: Any) -> list[NewPrompt | LineError]:
    whole = [{"messages": [{"role": "user", "content": "hi"}], **body} for body in bodies]
    lines = [{"custom_id": f"id-{n}", "body": body} for n, body in enumerate(whole)]
    options = InputOptions(
        endpoint=CHAT, defaults={"model": MODEL}, max_line_bytes=1_000_000, **changes
    )
    return list(prompts_of_objects(lines, options))


def asking(schema: Any, **described: Any) -> dict[str, Any]:
    described = {"name": "n", "schema": schema, **described}
    return {"response_format": {"type": "json_schema", "json_schema": described}}


def test_a_prompt_with_a_bad_schema_is_an_error_at_once_with_the_path() -> None:
    [error] = lines_of(asking({"properties": {"a": {"type": "nonsense"}}}))
    assert isinstance(error, LineError)
    assert error.param == "body.response_format.json_schema.schema.properties.a.type"


def test_so_is_a_batch_with_one_and_nothing_is_left_of_it(provider: Provider) -> None:
    options = BatchOptions(defaults={"model": MODEL, **asking({"type": "nonsense"})})
    with pytest.raises(PromptRejected, match="nonsense") as caught:
        batch_actions.create_batch(provider, lines_of({}), options)
    assert caught.value.param == "body.response_format.json_schema.schema.type"
    assert not Batch.objects.exists()


OPEN = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize("strict_schemas", [False, True])
def test_what_strict_mode_refuses_is_a_warning_unless_it_is_put_right(
    provider: Provider, *, strict_schemas: bool
) -> None:
    lines = lines_of(
        asking(OPEN),
        asking(OPEN, strict=True),
        {},
        asking(OPEN, strict=True),
        strict_schemas=strict_schemas,
    )
    options = BatchOptions(defaults={"model": MODEL}, strict_schemas=strict_schemas)
    batch = batch_actions.create_batch(provider, lines, options)
    place = "body.response_format.json_schema.schema"
    named = [(warning["code"], warning["param"], warning["line"]) for warning in batch.warnings]
    expected = [("closed_objects", place, 2), ("all_required", place, 2)]
    assert named == ([] if strict_schemas else expected)


def test_the_shared_schema_of_a_batch_is_warned_of_without_a_line(provider: Provider) -> None:
    options = BatchOptions(defaults={"model": MODEL, **asking(OPEN, strict=True)})
    batch = batch_actions.create_batch(provider, lines_of({}), options)
    assert {(warning["code"], warning["line"]) for warning in batch.warnings} == {
        ("closed_objects", None),
        ("all_required", None),
    }
