"""Whatever a reply holds: its neighbours are stored, it has an outcome, every page answers.

An example is a batch with 40 odd replies, each between two good ones. With RARE_REPLIES=10000
so many odd replies are tried, on the database of DATABASE_URL.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from batches.admin.batches.results.result_views import reading_of
from batches.models import Batch, File, Provider, Result
from batches.models.bounds import MAX_COST, MAX_SUM
from batches.runner.run import run_slice
from batches.secrets.encryption import encrypt
from tests.api.calling import client_of
from tests.checker import check_batch
from tests.makers import MODEL, batch_of
from tests.receivers import receiving, url_of
from tests.scripted_server import Step, Visit, answer, chat

ODD_ONES = 40
WINDOW = 8
# The pages of so many single results are rendered; of the others, what they show is made.
RENDERED = 3
EXAMPLES = -(-int(os.environ.get("RARE_REPLIES", "80")) // ODD_ONES)
PRICES = {MODEL: {"input": 1_000_000, "output": 999_999.99999999, "cached": 0.1}}
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}}

text_of_json = st.text(st.characters(exclude_categories=()), max_size=6).map(json.dumps)
LONG_TEXT = json.dumps(300 * "x")
MANY_DIGITS = json.dumps("&#" + "1" * 5000)
odd_texts = st.sampled_from(
    [
        r'"\u0000"',
        r'"\ud800"',
        r'"\udfffx"',
        '"\u2028"',
        '"NaN"',
        r'"\\u0000"',
        LONG_TEXT,
        MANY_DIGITS,
    ]
)
odd_numbers = st.sampled_from(
    [
        *("0", "-0.0", "-1", "0.5", "1e-400", "1e400", "-1e400", "1.7e308", "NaN", "Infinity"),
        *map(str, (2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, 10**30)),
        *("9" * 400, "9" * 5000, "0." + "9" * 400, "1" + "0" * 40 + ".5"),
    ]
)
numbers = st.integers().map(str) | st.decimals(allow_nan=False, allow_infinity=False).map(str)
scalars = st.sampled_from(["null", "true", "false"]) | numbers | odd_numbers
scalars |= text_of_json | odd_texts


def list_of(parts: list[str]) -> str:
    return f"[{','.join(parts)}]"


def object_of(parts: list[tuple[str, str]]) -> str:
    return "{" + ",".join(f"{name}:{value}" for name, value in parts) + "}"


def nested(depth: int, kind: str) -> str:
    return "[" * depth + "]" * depth if kind == "list" else '{"a":' * depth + "1" + "}" * depth


deep = st.builds(
    nested, st.sampled_from([5, 99, 190, 260, 3000]), st.sampled_from("list object".split())
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(list_of)
        | st.lists(st.tuples(text_of_json | odd_texts, inner), max_size=3).map(object_of)
    ),
    max_leaves=6,
)
fields: st.SearchStrategy[str] = anything | deep

COUNTS = (
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens"),
    *("prompt_tokens_details", "completion_tokens_details"),
)
usage = st.lists(st.tuples(st.sampled_from(COUNTS).map(json.dumps), fields)).map(object_of)


@st.composite
def replies(draw: st.DrawFn) -> bytes:
    """A chat completion of which some fields are anything, or anything at all."""
    if draw(st.integers(0, 40)) == 0:
        return draw(fields).encode("utf-8", "surrogatepass")
    like = {
        "content": st.just('"hello"') | fields,
        "finish_reason": st.just('"stop"') | fields,
        "usage": usage | fields,
        "more": fields,
    }
    found = {name: draw(strategy) for name, strategy in like.items()}
    return (
        f'{{"id":"x","choices":[{{"index":0,"message":{{"content":{found["content"]}}},'
        f'"finish_reason":{found["finish_reason"]}}}],"usage":{found["usage"]},'
        f'"system_fingerprint":{found["more"]}}}'
    ).encode("utf-8", "surrogatepass")


@dataclass(frozen=True)
class Odd:
    """A reply, with its status and the id that its headers give it."""

    raw: bytes
    status: int
    request_id: str


odd_ones = st.builds(
    Odd,
    raw=replies(),
    status=st.sampled_from([*(7 * [200]), 400]),
    request_id=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=250),
)


@dataclass
class World:
    """A provider whose odd replies can be set, and clients that look at its batches."""

    provider: Provider
    admin: Client
    api: Client
    owner: User
    odd: list[Odd] = field(default_factory=list)

    def step(self) -> Step:
        async def step(visit: Visit) -> None:
            number = _NUMBER.search(visit.request.body)
            if number is None:
                await answer(chat('{"n": 1}'))(visit)
                return
            odd = self.odd[int(number[1])]
            await answer(odd.raw, status=odd.status, x_request_id=odd.request_id)(visit)

        return step


_NUMBER = re.compile(rb"odd (\d+)")


@pytest.fixture
def world(db: None) -> Iterator[World]:
    owner = User.objects.create_user("owner")
    admin = Client(SERVER_NAME="localhost")
    admin.force_login(User.objects.create_user("root", is_staff=True, is_superuser=True))
    provider = Provider(name="odd", prices=PRICES, api_key_encrypted=encrypt("sk-odd-0123456789"))
    made = World(provider, admin, client_of(owner), owner)
    with receiving(made.step()) as server:
        provider.base_url = url_of(server, "/v1")
        provider.save()
        yield made


# A smaller example is not looked for: each takes a batch and all its pages.
@settings(
    max_examples=EXAMPLES,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    odd=st.lists(odd_ones, min_size=ODD_ONES, max_size=ODD_ONES),
    options=st.fixed_dictionaries({"is_at_edge": st.booleans(), "has_schema": st.booleans()}),
)
def test_neighbours_are_stored_and_every_page_answers(
    world: World, odd: list[Odd], options: dict[str, bool]
) -> None:
    world.odd = odd
    batch = odd_batch(world, **options)
    report = run_slice(batch.pk)
    assert report.ended, report.pause_reason
    check_batch(batch)
    assert batch.cost <= MAX_COST
    good = Result.objects.filter(batch=batch, status=Result.SUCCEEDED)
    good = good.filter(prompt__custom_id__in=[f"line-{2 * n + 1}" for n in range(ODD_ONES + 1)])
    assert good.count() == ODD_ONES + 1
    for client, address in pages_of(world, batch):
        look(client, address)
    for result in Result.objects.filter(batch=batch).select_related("prompt"):
        assert reading_of(batch, result.prompt, result).answered or result.body is None
    batch.delete()


def look(client: Client, address: str) -> None:
    """See that a page answers, and that what the API says is JSON."""
    reply = client.get(address)
    content = b"".join(reply) if reply.streaming else reply.content
    assert reply.status_code == 200, (address, content[:2000])
    if address.startswith("/v1/"):
        for line in content.splitlines() if reply.streaming else [content]:
            json.loads(line, parse_constant=refuse, parse_int=str)


def refuse(name: str) -> Any:
    raise AssertionError(f"{name} is not JSON")


def odd_batch(world: World, *, is_at_edge: bool, has_schema: bool) -> Batch:
    """A batch of odd prompts, each between two good ones."""
    defaults: dict[str, Any] = {"model": MODEL}
    if has_schema:
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
        defaults["response_format"] = form
    texts = ["good", *chain.from_iterable((f"odd {n}", "good") for n in range(ODD_ONES))]
    # Good answers to calls that were sent after a failure show that the provider is not away.
    texts += ["good"] * 2 * WINDOW
    limits = {"max_attempts": 1, "max_repair_attempts": 0, "batch_size": WINDOW}
    batch = batch_of(world.provider, texts, defaults=defaults, **limits)
    Batch.objects.filter(pk=batch.pk).update(owner=world.owner)
    File.objects.update(owner=world.owner)
    if is_at_edge:
        edge = {"cost": MAX_COST, "input_tokens": MAX_SUM - 1, "output_tokens": MAX_SUM}
        Batch.objects.filter(pk=batch.pk).update(**edge)
    return batch


def pages_of(world: World, batch: Batch) -> Iterator[tuple[Client, str]]:
    """Everything that shows a batch."""
    batch.refresh_from_db()
    yield world.admin, reverse("admin:index")
    yield world.admin, reverse("admin:batches_batch_changelist")
    for name in ("change", "live", "results", "jsonl", "csv"):
        yield world.admin, reverse(f"admin:batches_batch_{name}", args=[batch.pk])
    for index in range(1, 2 * RENDERED, 2):
        yield world.admin, reverse("admin:batches_batch_result", args=[batch.pk, index])
    yield world.api, "/v1/batches"
    yield world.api, f"/v1/batches/{batch.public_id}"
    yield world.api, f"/v1/batches/{batch.public_id}/results"
    for file in (batch.output_file, batch.error_file):
        if file is not None:
            yield world.api, f"/v1/files/{file.public_id}/content"
