"""Requests that begin alike are sent together, and every result is in its place."""

import json
import random
from collections import defaultdict
from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from batches.actions import batches as batch_actions
from batches.engine.records import SCHEDULES
from batches.inputs.prompt_files import InputOptions, prompts_of_objects
from batches.models import Provider
from batches.runner.run import run_slice
from batches.runner.slices.preparing import CACHE_KEY
from simulator import Behaviour, SimulatedProvider
from simulator.prefix_cache import BLOCK_CHARS, PrefixCache
from tests.checker import check_batch
from tests.configuring import configure
from tests.makers import MODEL, batch_of, options, prompts_of
from tests.receivers import receiving, url_of
from tests.runners import run_with
from tests.scripted_server import answer, chat

GROUPS, ALL = 12, 240


def texts() -> list[str]:
    """Prompts of which groups have the same long beginning, in any order."""
    found = [f"{group:02} {'x' * 400} question {n}" for n in range(20) for group in range(GROUPS)]
    random.Random(7).shuffle(found)
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_groups_are_sent_one_after_the_other(
    provider: Provider, simulator: SimulatedProvider, schedule: str
) -> None:
    batch = batch_of(provider, texts(), order="prefix", schedule=schedule, batch_size=1)
    assert run_slice(batch.pk).ended
    # 64 prompts are claimed at once, and each group is met once among them.
    sent = [key for key, _ in groupby(text[:2] for text in simulator.calls)]
    assert len(sent) <= GROUPS * -(-ALL // 64)
    check_batch(batch)


@pytest.mark.django_db(transaction=True)
def test_the_provider_takes_most_of_the_input_from_its_cache(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    blocks = 3 * (400 // BLOCK_CHARS)
    shares = {}
    for order in ("input", "prefix"):
        simulator.reset()
        simulator.behaviour = Behaviour(prefix_cache=blocks)
        batch = batch_of(provider, texts(), order=order, batch_size=20, parallelism=2)
        run_with(2, batch)
        check_batch(batch)
        shares[order] = batch.cached_tokens / batch.input_tokens
    assert shares["prefix"] > 0.7 > 2 * shares["input"]


def test_long_prompts_are_not_collected_beyond_the_memory(
    provider: Provider, simulator: SimulatedProvider, settings: Settings
) -> None:
    configure(settings, MAX_BYTES_IN_FLIGHT=200_000)
    given = [f"{n % 3} {'x' * 20_000} {n}" for n in range(40)]
    batch = batch_of(provider, given, order="prefix", batch_size=4)
    assert run_slice(batch.pk).ended
    check_batch(batch)
    assert simulator.calls.total() == 40


@given(st.lists(st.binary(max_size=400), max_size=20), st.integers(0, 20))
def test_no_more_is_cached_than_was_seen_before(texts: list[bytes], most: int) -> None:
    cache, seen = PrefixCache(), [b""]
    for text in texts:
        cached = cache.cached_chars(text, most=most)
        longest = max(len(_common(text, other)) for other in seen)
        assert cached <= min(longest, len(text))
        assert cached % BLOCK_CHARS == 0
        seen.append(text)


def _common(one: bytes, other: bytes) -> bytes:
    length = next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    return one[: min(len(one), len(other)) if length is None else length]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("order", "takes"), [("prefix", 1), ("prefix", 0), ("input", 1)])
def test_a_provider_that_takes_cache_keys_gets_one_for_each_beginning(
    provider: Provider, order: str, takes: int
) -> None:
    texts = [f"{group} {'x' * 5_000} question {n}" for n in range(4) for group in "abc"]
    own = {"messages": [{"role": "user", "content": f"own {'y' * 5_000}"}], CACHE_KEY: "mine"}
    reading = InputOptions("/v1/chat/completions", {"model": MODEL}, max_line_bytes=20_000)
    line = {"custom_id": "own", "body": own}
    lines = [*prompts_of([*texts, "short"]), *prompts_of_objects([line], reading)]
    with receiving(answer(chat("yes"))) as server:
        provider.base_url, provider.takes_cache_keys = url_of(server, "/v1"), bool(takes)
        provider.save()
        batch = batch_actions.create_batch(provider, lines, options(order=order))
        assert run_slice(batch.pk).ended
        bodies = [json.loads(request.body) for request in server.requests]
    check_batch(batch)
    keys = defaultdict(set)
    for body in bodies:
        keys[body["messages"][0]["content"].split()[0]].add(body.get(CACHE_KEY))
    assert (keys.pop("own"), keys.pop("short")) == ({"mine"}, {None})
    assert keys.keys() == set("abc")
    if takes and order == "prefix":
        assert len(set().union(*keys.values()) - {None}) == len(keys)
    assert all(len(found) == 1 for found in keys.values())
    assert ({None} in keys.values()) is not (takes and order == "prefix")
