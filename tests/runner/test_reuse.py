"""Equal requests are sent once, and every prompt has its own outcome."""

import json
from collections import Counter
from datetime import timedelta
from typing import Any

import hypothesis
import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from batches.actions import batches as batch_actions
from batches.actions.options import Pilot
from batches.conf import conf
from batches.limits.rules import Rules
from batches.models import Batch, KeptAnswer, Provider, Result
from batches.output.jsonl import json_lines
from batches.reuse.kept_answers import forget_answers
from simulator import Behaviour, SimulatedProvider
from tests.checker import check_batch
from tests.configuring import configure
from tests.makers import batch_of, options, prompts_of
from tests.runners import ended, run_with

RUNNERS = 4
REFUSED = "refused [simulate: status=400]"


def outcomes(batch: Batch) -> list[Any]:
    """What each prompt came to, in the order of the input. Replies also have IDs and times."""
    names = ("index", "status", "kind", "status_code", "parsed", "rung", "body")
    rows = Result.objects.filter(batch=batch).order_by("index").values_list(*names)
    return [[*about, _answer(json.loads(body))] for *about, body in rows]


def _answer(reply: dict[str, Any]) -> Any:
    return reply.get("choices", reply)


def owned(provider: Provider, owner: User | None, texts: list[str], **changes: Any) -> Batch:
    origin = batch_actions.Origin(owner=owner)
    changes = {"reuse": "owner", **changes}
    return batch_actions.create_batch(
        provider, prompts_of(texts), options(**changes), origin=origin
    )


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("schedule", ["rolling", "lockstep"])
def test_four_runners_send_equal_requests_once(
    provider: Provider, simulator: SimulatedProvider, schedule: str
) -> None:
    simulator.behaviour = Behaviour(latency="uniform:0,0.05")
    texts = [f"prompt {number % 37}" for number in range(150)]
    made = {"batch_size": 8, "parallelism": RUNNERS, "schedule": schedule}
    batch = batch_of(provider, texts, reuse="batch", **made)
    run_with(RUNNERS, batch)
    check_batch(batch)
    assert simulator.calls == Counter(set(texts))
    assert (batch.succeeded, batch.reused, batch.calls) == (150, 150 - 37, 37)
    plain = ended(batch_of(provider, texts, **made))
    assert outcomes(batch) == outcomes(plain)
    assert batch.input_tokens + batch.saved_input_tokens == plain.input_tokens
    assert batch.output_tokens + batch.saved_output_tokens == plain.output_tokens


@hypothesis.settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    texts=st.lists(st.sampled_from(["a", "b", "c", REFUSED]), min_size=1, max_size=30),
    batch_size=st.integers(1, 7),
    rows=st.none() | st.integers(1, 30),
)
def test_what_succeeds_is_sent_once_and_what_fails_each_time(
    provider: Provider,
    simulator: SimulatedProvider,
    texts: list[str],
    batch_size: int,
    rows: int | None,
) -> None:
    before = Counter(simulator.calls)
    pilot = None if rows is None else Pilot(rows=rows, continue_when=Rules())
    batch = ended(batch_of(provider, texts, reuse="batch", batch_size=batch_size, pilot=pilot))
    check_batch(batch)
    sent = simulator.calls - before
    of_pilot = min(rows or 0, len(texts))
    for text in set(texts):
        # The prompts of a pilot do not wait for each other.
        most = len(texts) if text == REFUSED else 1 + of_pilot
        assert 1 <= sent[text] <= most
    assert sent.get(REFUSED, 0) == texts.count(REFUSED)
    assert batch.reused == len(texts) - sum(sent.values())
    assert outcomes(batch) == outcomes(ended(batch_of(provider, texts)))


def test_an_answer_says_whose_it_was_and_cost_nothing(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    batch = ended(batch_of(provider, ["a", "b", "a"], reuse="batch"))
    first, _, again = Result.objects.filter(batch=batch).order_by("index")
    assert first.source is None
    assert again.source == first.pk
    assert (again.calls, again.input_tokens, again.latency_s) == (0, 0, None)


def test_an_earlier_batch_of_the_owner_is_used_and_no_other(
    provider: Provider, simulator: SimulatedProvider, django_user_model: type[User]
) -> None:
    mine, other = (django_user_model.objects.create_user(name) for name in ("mine", "other"))
    texts = [f"prompt {number}" for number in range(20)]
    first = ended(owned(provider, mine, texts))
    assert (first.reused, simulator.calls.total()) == (0, 20)
    second = ended(owned(provider, mine, [*texts, "new"]))
    assert (second.reused, simulator.calls.total()) == (20, 21)
    assert outcomes(second)[:20] == outcomes(first)
    sources = Result.objects.filter(batch=second, source__isnull=False)
    assert set(sources.values_list("source", flat=True)) == set(
        Result.objects.filter(batch=first).values_list("pk", flat=True)
    )
    for owner in (other, None):
        strangers = ended(owned(provider, owner, texts))
        assert strangers.reused == 0
    assert simulator.calls.total() == 61


@pytest.mark.parametrize(
    "changes",
    [
        {"defaults": {"model": "simulated-small", "temperature": 0.5}},
        {"defaults": {"model": "simulated-large"}},
        {"extract_json": False},
        {"reuse": "batch"},
        {"reuse": "off"},
    ],
)
def test_what_may_change_an_answer_makes_another_request(
    provider: Provider, simulator: SimulatedProvider, changes: dict[str, Any]
) -> None:
    ended(owned(provider, None, ["a", "b"]))
    assert ended(owned(provider, None, ["a", "b"], **changes)).reused == 0


@pytest.mark.parametrize("field", ["user", "metadata", "prompt_cache_key", "service_tier"])
def test_what_cannot_change_an_answer_does_not(
    provider: Provider, simulator: SimulatedProvider, field: str
) -> None:
    for value in ("one", "two"):
        given = {"model": "simulated-small", field: value}
        batch = ended(owned(provider, None, ["a"], defaults=given))
    assert batch.reused == 1


def test_an_answer_that_is_gone_old_or_forgotten_is_paid_again(
    provider: Provider, simulator: SimulatedProvider, settings: Any
) -> None:
    first = ended(owned(provider, None, ["a"]))
    batch_actions.delete_batch(first)
    second = ended(owned(provider, None, ["a"]))
    assert second.reused == 0
    # The store has the newer answer now.
    assert ended(owned(provider, None, ["a"])).reused == 1
    KeptAnswer.objects.update(done_at=timezone.now() - timedelta(days=conf().REUSE_DAYS))
    assert ended(owned(provider, None, ["a"])).reused == 0
    configure(settings, REUSE_ANSWERS=2)
    ended(owned(provider, None, ["b", "c", "d"]))
    assert forget_answers() >= 1
    assert KeptAnswer.objects.count() <= 2


def test_a_cancelled_batch_gives_the_answers_it_has(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    ended(owned(provider, None, ["a"]))
    batch = owned(provider, None, ["a", "b", "c", "a", "b"], batch_size=1)
    batch_actions.cancel_batch(batch)
    check_batch(batch, status="cancelled")
    assert (batch.succeeded, batch.reused) == (2, 2)
    assert kinds_of(batch) == ["", "cancelled", "cancelled", "", "cancelled"]
    again = ended(batch_actions.retry_batch(batch))
    check_batch(again)
    assert (again.reused, simulator.calls.total()) == (3, 3)


def kinds_of(batch: Batch) -> list[str]:
    return list(Result.objects.filter(batch=batch).order_by("index").values_list("kind", flat=True))


def test_origins_are_read_once_for_a_page(
    provider: Provider, simulator: SimulatedProvider, django_assert_max_num_queries: Any
) -> None:
    batch = ended(batch_of(provider, ["a"] * 300, reuse="batch"))
    # A page for each status, the rows of long replies, and the origins.
    with django_assert_max_num_queries(4):
        lines = "".join(json_lines(batch)).splitlines()
    assert sum("reused_from" in line for line in lines) == 299


def test_a_retry_sends_failed_equals_once(provider: Provider, simulator: SimulatedProvider) -> None:
    text = "flaky [simulate: status=400 times=3]"
    batch = ended(batch_of(provider, [text] * 3, reuse="batch"))
    assert (batch.failed, simulator.calls.total()) == (3, 3)
    batch = ended(batch_actions.retry_batch(batch))
    check_batch(batch)
    assert (batch.succeeded, batch.reused, simulator.calls.total()) == (3, 2, 4)
