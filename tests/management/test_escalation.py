"""`process_batch --escalate`: failed answers are asked of a stronger model."""

import json
import re
from pathlib import Path

import pytest

from batches.engine.records import USUAL_KINDS
from batches.models import Batch
from simulator import SimulatedProvider
from tests.command_line import Commands, Finished
from tests.makers import MODEL
from tests.management.bulk import batch_id
from tests.runner.test_escalation import LARGE, TOP, bad
from tests.runner.test_structured_output import SCHEMA


def run(cli: Commands, texts: list[str], *options: str) -> Finished:
    cli.path("schema.json", json.dumps(SCHEMA))
    cli.path("in.txt", "\n".join(texts))
    ended = cli.process_batch("--response-schema", "schema.json", *options, name="in.txt")
    assert "Traceback" not in ended.stderr
    return ended


def test_failed_answers_are_asked_of_the_stronger_models(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    texts = ["a", f"b {bad(MODEL, form='refusal')}", f"c {bad(MODEL, LARGE, form='refusal')}"]
    ended = run(cli, texts, "--escalate", LARGE, "--escalate", f"{TOP}:refusal,empty", "--json")
    assert ended.status == 0, ended.stderr
    assert simulator.by_model == {MODEL: 3, LARGE: 2, TOP: 1}
    figures = json.loads(ended.stdout)
    assert (figures["escalated"], figures["escalated_succeeded"]) == (2, 2)
    table = re.sub(r"[ │]+", " ", run(cli, texts, "--escalate", LARGE).stderr)
    assert "asked a stronger model 2, 1 succeeded" in table
    lines = Path(cli.path("out.jsonl")).read_text().splitlines()
    models = [json.loads(line)["response"]["body"]["model"] for line in lines]
    assert models == [MODEL, LARGE, LARGE]
    stored = Batch.objects.earliest("pk").escalate
    assert stored == [
        {"model": LARGE, "when": sorted(USUAL_KINDS)},
        {"model": TOP, "when": ["empty", "refusal"]},
    ]


def test_the_estimate_says_what_the_stronger_models_may_cost(cli: Commands) -> None:
    first = run(cli, ["a"] * 4, "--escalate", LARGE)
    said = [line for line in first.stderr.splitlines() if "output tokens" in line]
    assert "about 2,000 output tokens" in said[0]
    assert said[1].startswith(f"If every prompt is asked of {LARGE} too: about ")
    assert "about 4,000 output tokens" in said[1]
    # The answers of a batch with several models do not show how long those of one model are.
    second = run(cli, ["a"] * 4)
    assert "about 2,000 output tokens" in second.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--escalate", "strong:refusl"), "'refusl'. Supported values are: 'schema_violation'"),
        (("--escalate", ""), "an empty string"),
        (("--escalate", "strong:"), "Supported values are:"),
        (("--escalate", MODEL), "is asked before already"),
        (("--escalate", "a", "--escalate", "a"), "'a' is asked before already"),
        (
            tuple(word for n in range(4) for word in ("--escalate", f"m{n}")),
            "--escalate can be given up to 3 times",
        ),
    ],
)
def test_a_model_that_cannot_be_above_the_others_is_refused(
    cli: Commands, simulator: SimulatedProvider, options: tuple[str, ...], says: str
) -> None:
    ended = run(cli, ["a"], *options)
    assert ended.status == 2
    assert says in ended.stderr
    assert not Batch.objects.exists()
    assert simulator.calls.total() == 0


def test_a_batch_that_is_retried_keeps_its_stronger_models(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    text = "a [simulate: answer=refusal times=3] " + bad(MODEL, form="refusal")
    assert run(cli, [text], "--escalate", LARGE).status == 1
    refused = cli.process_batch("--retry", batch_id(), "--escalate", TOP, name=None)
    assert refused.status == 2
    assert "--escalate cannot be used with --retry" in refused.stderr
    assert cli.process_batch("--retry", batch_id(), name=None).status == 0
    assert simulator.by_model == {MODEL: 2, LARGE: 2}


def test_a_model_that_the_provider_does_not_list_is_named(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    ended = run(cli, ["a"], "--escalate", "simulated-smal")
    assert "Warning: the provider lists no model 'simulated-smal'. Did you mean" in ended.stderr


def test_a_batch_is_shown_with_its_stronger_models(cli: Commands) -> None:
    run(cli, ["a"], "--escalate", LARGE, "--escalate", f"{TOP}:empty")
    shown = re.sub(r" +", " ", cli.run("batches", "show", batch_id()).stdout)
    assert f"stronger models {LARGE}, {TOP}" in shown
    figures = json.loads(cli.run("batches", "show", batch_id(), "--json").stdout)
    assert [step["model"] for step in figures["escalate"]] == [LARGE, TOP]
