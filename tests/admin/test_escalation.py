"""Stronger models in the admin: the form, the page of a batch, and of a result."""

from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from batches.engine.records import USUAL_KINDS
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.admin.test_new_batch import errors, post
from tests.makers import MODEL
from tests.runner.test_escalation import LARGE, TOP, bad, made
from tests.runners import ended


def page(root: Client, name: str, *arguments: object) -> str:
    reply = root.get(reverse(f"admin:batches_batch_{name}", args=arguments))
    assert reply.status_code == 200
    return unescape(reply.content.decode())


def test_the_form_takes_models_with_and_without_kinds(root: Client, provider: Provider) -> None:
    post(root, provider, "start", prompts="one", escalate=f"{LARGE}\r\n{TOP}:refusal, empty\r\n")
    assert Batch.objects.get().escalate == [
        {"model": LARGE, "when": sorted(USUAL_KINDS)},
        {"model": TOP, "when": ["empty", "refusal"]},
    ]


def test_a_form_without_models_makes_a_batch_without_them(root: Client, provider: Provider) -> None:
    post(root, provider, "start", prompts="one", escalate=" \r\n ")
    batch = Batch.objects.get()
    assert batch.escalate is None
    assert "Stronger models" not in page(root, "change", batch.pk)


@pytest.mark.parametrize(
    ("text", "listed", "says"),
    [
        ("a\nb:refusl", [], "line 2: Invalid value for 'when[0]': 'refusl'. Supported values are"),
        ("a\nb\nc\nd", [], "Give up to 3 models, one in each line."),
        (MODEL, [], "is asked before already"),
        ("a\na", [], "'escalate[1].model': 'a' is asked before already"),
        ("larg", [MODEL, "large"], "Did you mean 'large'?"),
    ],
)
def test_what_is_wrong_is_said_at_the_field(
    root: Client, provider: Provider, text: str, listed: list[str], says: str
) -> None:
    Provider.objects.filter(pk=provider.pk).update(model_names=listed)
    found = errors(post(root, provider, "start", prompts="one", escalate=text))
    assert list(found) == ["escalate"]
    assert says in found["escalate"][0]
    assert not Batch.objects.exists()


def test_a_preview_says_what_the_stronger_models_may_cost(root: Client, provider: Provider) -> None:
    provider.prices = {MODEL: {"input": 0, "output": 1000}, LARGE: {"input": 0, "output": 100000}}
    provider.save()
    shown = unescape(
        post(root, provider, "preview", prompts="one\ntwo", escalate=LARGE).content.decode()
    )
    assert "<dd>$1.00</dd>" in shown
    assert "If every prompt is asked of the stronger models too: about " in shown
    assert "about $101.00" in shown


def test_a_batch_is_run_again_with_its_stronger_models(root: Client, provider: Provider) -> None:
    batch = ended(made(provider, ["a"], LARGE, TOP))
    steps = [
        {"model": LARGE, "when": list(USUAL_KINDS)},
        {"model": "odd:refusal", "when": ["empty"]},
    ]
    Batch.objects.filter(pk=batch.pk).update(escalate=steps)
    answer: Any = root.post(reverse("admin:batches_batch_again", args=[batch.pk]), follow=True)
    assert f"{LARGE}\nodd:refusal:empty</textarea>" in answer.content.decode()


def test_a_batch_shows_how_many_prompts_were_escalated(
    root: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    texts = ["a", f"b {bad(MODEL)}", f"c {bad(MODEL, LARGE)}"]
    batch = made(provider, texts, batch_size=1)
    assert "Asked a stronger model</dt><dd>0" in page(root, "live", batch.pk)
    assert run_slice(batch.pk).ended
    for name in ("change", "live"):
        shown = page(root, name, batch.pk)
        assert "Asked a stronger model</dt><dd>2 <small>1 succeeded" in shown
    assert f"<code>{LARGE}</code> if " in page(root, "change", batch.pk)
    # While a batch runs, its results are counted.
    Batch.objects.filter(pk=batch.pk).update(report=None)
    assert "Asked a stronger model</dt><dd>2 <small>1 succeeded" in page(root, "live", batch.pk)


def test_a_result_shows_the_models_that_were_asked(
    root: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = ended(made(provider, ["a", f"b {bad(MODEL)}"], "<strong>"))
    assert "Models that were asked" not in page(root, "result", batch.pk, 0)
    reply = root.get(reverse("admin:batches_batch_result", args=[batch.pk, 1]))
    shown = reply.content.decode()
    assert "Models that were asked" in shown
    assert "&lt;strong&gt;" in shown
    assert '<span class="tp-badge tp-bad">not_json</span></td><td>1</td>' in shown
