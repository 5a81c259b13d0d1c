"""Every endpoint of the table, from the upload of a file to the lines, the pages and the CSV."""

import base64
import csv
import io
import json
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from batches.engine.endpoints import ENDPOINTS, OTHER, RULES, check_path, rules_of
from batches.engine.text.volume import tokens_read
from batches.engine.text.wording import quoted
from batches.intake.reading import read_input
from batches.limits.model_calls import ModelCalls
from batches.models import Batch, Provider, Result
from batches.output.csv import csv_lines
from batches.runner.run import run_slice
from batches.stop_signal import StopSignal
from simulator.endpoints import ENDPOINTS as SIMULATED
from tests.api.calling import client_of, error_of, user_named
from tests.calling import request
from tests.makers import MODEL

pytestmark = pytest.mark.django_db

RERANK = "/v1/rerank"
SCORE = "/v1/score"
PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG" + bytes(200_000)).decode()

# For each endpoint bodies that it takes, and the field of the reply that holds what is answered.
BODIES: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "/v1/chat/completions": ("choices", [{"messages": [{"role": "user", "content": "hi"}]}]),
    "/v1/responses": ("output", [{"input": "hi"}, {"input": [{"role": "user", "content": "hi"}]}]),
    "/v1/embeddings": ("data", [{"input": "hi"}, {"input": ["a", "b"]}, {"input": [1, 2]}]),
    "/v1/completions": (
        "choices",
        [{"prompt": "hi"}, {"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"prompt": [[1], [2]]}],
    ),
    "/v1/moderations": (
        "results",
        [
            {"input": "violence"},
            {"input": ["kind", "violence"]},
            {
                "input": [
                    {"type": "text", "text": "violence"},
                    {"type": "image_url", "image_url": {"url": PIXEL}},
                ]
            },
        ],
    ),
    "/v1/images/generations": (
        "data",
        [{"prompt": "a cat"}, {"prompt": "a cat", "n": 3, "background": "transparent"}],
    ),
    "/v1/images/edits": ("data", [{"prompt": "a hat", "images": [{"image_url": PIXEL}]}]),
    "/v1/videos": (
        "id",
        [{"prompt": "waves"}, {"prompt": "waves", "input_reference": {"file_id": "file-1"}}],
    ),
    RERANK: ("results", [{"query": "cats", "documents": ["dogs", "cats", "birds"], "top_n": 2}]),
    SCORE: ("data", [{"text_1": "cats", "text_2": ["dogs", "cats"]}]),
}


@pytest.fixture
def provider(provider: Provider) -> Provider:
    provider.extra_endpoints = [RERANK, SCORE]
    provider.full_clean()
    provider.save()
    return provider


@pytest.fixture
def client(db: None) -> Client:
    return client_of(user_named())


def lines_of(endpoint: str, bodies: list[dict[str, Any]]) -> str:
    return "".join(
        json.dumps(
            {
                "custom_id": f"line {number}",
                "method": "POST",
                "url": endpoint,
                "body": {"model": MODEL, **body},
            }
        )
        + "\n"
        for number, body in enumerate(bodies)
    )


def of_file(client: Client, endpoint: str, text: str) -> Batch:
    """A batch of a file with these lines, read and run to its end."""
    upload = SimpleUploadedFile("in.jsonl", text.encode())
    file = client.post("/v1/files", {"purpose": "batch", "file": upload}).json()
    asked = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h"}
    made = client.post("/v1/batches", asked, content_type="application/json")
    assert made.status_code == 200, made.content
    assert made.json()["endpoint"] == endpoint
    batch = Batch.objects.get(public_id=made.json()["id"])
    assert read_input(batch.pk, stop=StopSignal()), errors_of(batch)
    assert run_slice(batch.pk).ended
    batch.refresh_from_db()
    return batch


def errors_of(batch: Batch) -> Any:
    batch.refresh_from_db()
    return batch.errors


def content_of(client: Client, file_id: str) -> list[Any]:
    reply = client.get(f"/v1/files/{file_id}/content")
    text = b"".join(reply.streaming_content).decode()  # type: ignore[attr-defined]  # it streams
    return [json.loads(line) for line in text.splitlines()]


def test_there_are_bodies_here_for_every_endpoint_and_the_simulator_has_them_all() -> None:
    assert set(BODIES) == {*ENDPOINTS, RERANK, SCORE} == set(SIMULATED)


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_batch_of_an_endpoint_from_its_file_to_its_output(
    provider: Provider, client: Client, endpoint: str
) -> None:
    field, bodies = BODIES[endpoint]
    batch = of_file(client, endpoint, lines_of(endpoint, bodies))
    shown = client.get(f"/v1/batches/{batch.public_id}").json()
    assert (shown["status"], shown["endpoint"]) == ("completed", endpoint)
    assert shown["request_counts"] == {"total": len(bodies), "completed": len(bodies), "failed": 0}
    assert shown["error_file_id"] is None
    lines = content_of(client, shown["output_file_id"])
    assert [line["custom_id"] for line in lines] == [f"line {n}" for n in range(len(bodies))]
    for line in lines:
        assert (line["error"], line["response"]["status_code"]) == (None, 200)
        assert line["response"]["body"][field]
        assert "parsed" not in line
    page = client.get(f"/v1/batches/{batch.public_id}/results").json()
    assert [one["status"] for one in page["data"]] == ["succeeded"] * len(bodies)


@pytest.mark.parametrize("endpoint", BODIES)
def test_inline_requests_and_short_lines_need_not_name_their_endpoint(
    provider: Provider, client: Client, endpoint: str
) -> None:
    [body, *_] = BODIES[endpoint][1]
    asked = {
        "endpoint": endpoint,
        "body": {"model": MODEL},
        "requests": [{"custom_id": "a", "body": body}, body],
    }
    made = client.post("/v1/batches", asked, content_type="application/json")
    assert made.status_code == 200, made.content
    batch = Batch.objects.get(public_id=made.json()["id"])
    assert run_slice(batch.pk).ended
    assert not Result.objects.filter(batch=batch, status=Result.FAILED).exists()


@pytest.mark.parametrize("endpoint", BODIES)
def test_a_text_is_a_request_where_a_field_takes_one(
    provider: Provider, client: Client, endpoint: str
) -> None:
    asked = {"endpoint": endpoint, "body": {"model": MODEL}, "prompts": ["hello"]}
    if endpoint == "/v1/images/edits":
        asked["body"] = {"model": MODEL, "images": [{"file_id": "file-1"}]}
    made = client.post("/v1/batches", asked, content_type="application/json")
    if rules_of(endpoint) is OTHER:
        error = error_of(made, 400)
        assert "a text alone is not a request to" in error["message"]
        return
    assert made.status_code == 200, made.content
    batch = Batch.objects.get(public_id=made.json()["id"])
    assert run_slice(batch.pk).ended
    assert Result.objects.get(batch=batch).status == Result.SUCCEEDED


@pytest.mark.parametrize("endpoint", BODIES)
def test_no_endpoint_streams(provider: Provider, client: Client, endpoint: str) -> None:
    body = {**BODIES[endpoint][1][0], "stream": True}
    asked = {
        "endpoint": endpoint,
        "body": {"model": MODEL},
        "requests": [{"custom_id": "a", "body": body}],
    }
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("streaming_unsupported", "requests[0].body.stream")


WRONG = [
    ("/v1/completions", {"prompt": 7}, "prompt", "invalid_type"),
    ("/v1/completions", {}, "prompt", "missing_required_parameter"),
    ("/v1/completions", {"model": None, "prompt": "x"}, "model", "missing_required_parameter"),
    ("/v1/moderations", {}, "input", "missing_required_parameter"),
    ("/v1/moderations", {"input": {"text": "x"}}, "input", "invalid_type"),
    ("/v1/images/generations", {"prompt": ["x"]}, "prompt", "invalid_type"),
    ("/v1/images/edits", {"images": []}, "prompt", "missing_required_parameter"),
    ("/v1/videos", {"prompt": "x", "input_reference": "a.png"}, "input_reference", "invalid_type"),
    ("/v1/videos", {"prompt": "x", "model": ""}, "model", "missing_required_parameter"),
]


@pytest.mark.parametrize("wrong", WRONG)
def test_what_an_endpoint_cannot_take_is_refused_by_name(
    provider: Provider, client: Client, wrong: tuple[str, dict[str, Any], str, str]
) -> None:
    endpoint, body, param, code = wrong
    asked = {
        "endpoint": endpoint,
        "requests": [{"custom_id": "a", "body": {"model": MODEL, **body}}],
    }
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == (code, f"requests[0].body.{param}")


@pytest.mark.parametrize("endpoint", [path for path in BODIES if not rules_of(path).needs_model])
def test_a_model_is_needed_only_where_the_endpoint_needs_one(
    provider: Provider, client: Client, endpoint: str
) -> None:
    asked = {"endpoint": endpoint, "requests": [{"custom_id": "a", "body": BODIES[endpoint][1][0]}]}
    made = client.post("/v1/batches", asked, content_type="application/json")
    assert made.status_code == 200, made.content
    batch = Batch.objects.get(public_id=made.json()["id"])
    assert run_slice(batch.pk).ended
    assert Result.objects.get(batch=batch).status == Result.SUCCEEDED


# -- Which endpoints there are


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("endpoint", ["/v1/nothing", "nothing", "", "/v1/../files"])
def test_an_endpoint_that_nothing_allows_is_refused_with_those_there_are(
    provider: Provider, client: Client, endpoint: str, *, named: bool
) -> None:
    asked: dict[str, Any] = {
        "endpoint": endpoint,
        "requests": [{"custom_id": "a", "body": {"query": "x"}}],
    }
    if named:
        asked["provider"] = provider.name
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "endpoint")
    assert quoted(endpoint) in error["message"]
    for path in (*ENDPOINTS, RERANK):
        assert path in error["message"]


def test_a_path_is_allowed_on_one_provider_and_not_on_another(
    provider: Provider, client: Client
) -> None:
    other = Provider.objects.create(name="other", base_url=provider.base_url, is_default=True)
    asked = {"endpoint": RERANK, "requests": [{"custom_id": "a", "body": BODIES[RERANK][1][0]}]}
    # The default one does not have it.
    made = client.post("/v1/batches", asked, content_type="application/json")
    assert made.json()["provider"] == provider.name
    asked["provider"] = other.name
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "endpoint")
    assert "'other' does not allow '/v1/rerank'" in error["message"]


def test_an_unknown_endpoint_is_refused_before_its_file_is_looked_for(
    provider: Provider, client: Client
) -> None:
    asked = {"endpoint": "/v1/nothing", "input_file_id": "file-none"}
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "endpoint")
    assert not Batch.objects.exists()


PATHS = {
    **dict.fromkeys(["/v1/rerank", "/v1/score", "/v1/a/b-c/d_e.f", "/v1/" + "a" * 60], True),
    **dict.fromkeys(["/v1/", "/v1", "v1/rerank", "/rerank", "/v2/rerank", "/v1/re rank"], False),
    **dict.fromkeys(["/v1/../files", "/v1/a/../b", "/v1//a", "/v1/a/", "/v1/a?b=c"], False),
    **dict.fromkeys(["/v1/a#b", "/v1/%2e%2e/a", "/v1/\u0430", "/v1/a\n", "/v1/a\x00"], False),
    **dict.fromkeys(["https://a.example/v1/a", "//a.example/v1/a", "/v1/" + "a" * 61, ""], False),
    **dict.fromkeys(["/v1/@a.example", "/v1/a:b", "/v1/a\\b", "/V1/a"], False),
}


@pytest.mark.parametrize(("path", "fits"), PATHS.items())
def test_a_path_leads_to_the_provider_and_nowhere_else(path: str, *, fits: bool) -> None:
    provider = Provider(name="a", base_url="http://localhost/v1", extra_endpoints=[path])
    if fits:
        check_path(path)
        provider.full_clean()
        return
    with pytest.raises(ValueError, match="write it like /v1/rerank"):
        check_path(path)
    with pytest.raises(ValidationError) as caught:
        provider.full_clean()
    assert set(caught.value.message_dict) == {"extra_endpoints"}


@pytest.mark.parametrize("paths", ["/v1/rerank", {"a": 1}, 7, [7], [None], [["/v1/a"]]])
def test_the_endpoints_of_a_provider_are_a_list_of_paths(paths: Any) -> None:
    provider = Provider(name="a", base_url="http://localhost/v1", extra_endpoints=paths)
    with pytest.raises(ValidationError):
        provider.full_clean()


# -- What is read of the replies


def test_what_a_reply_counts_is_counted_by_the_rule_of_its_endpoint(
    provider: Provider, client: Client
) -> None:
    counts = {}
    for endpoint, (_, bodies) in BODIES.items():
        batch = of_file(client, endpoint, lines_of(endpoint, bodies[:1]))
        counts[endpoint] = (batch.input_tokens > 0, batch.output_tokens > 0)
        assert not Result.objects.filter(batch=batch, message__contains="estimate").exists()
    reads = {path: RULES[path].counts_tokens if path in RULES else True for path in BODIES}
    writes = {path: rules_of(path).answers_in_text or "images" in path for path in BODIES}
    assert counts == {path: (reads[path], writes[path]) for path in BODIES}


CSV_ANSWERS = {
    "/v1/completions": lambda answer: len(answer.split()) >= 20,
    "/v1/embeddings": lambda answer: answer == "",
    "/v1/moderations": lambda answer: json.loads(answer)["results"][0]["flagged"] is True,
    "/v1/images/generations": lambda answer: answer == "",
    "/v1/videos": lambda answer: json.loads(answer)["object"] == "video",
    RERANK: lambda answer: len(json.loads(answer)["results"]) == 2,
}


@pytest.mark.parametrize("endpoint", CSV_ANSWERS)
def test_a_table_has_what_a_person_can_read(
    provider: Provider, client: Client, endpoint: str
) -> None:
    batch = of_file(client, endpoint, lines_of(endpoint, BODIES[endpoint][1][:1]))
    text = b"".join(csv_lines(batch)).decode("utf-8-sig")
    [row] = csv.DictReader(io.StringIO(text))
    assert CSV_ANSWERS[endpoint](row["answer"]), row["answer"]  # type: ignore[no-untyped-call]  # a table of lambdas


SHOWN = {
    "/v1/completions": ["completion"],
    "/v1/moderations": ["flagged: violence", "moderation"],
    "/v1/images/generations": ["characters of base64"],
    "/v1/images/edits": ["characters of base64", "a hat", "characters)"],
    "/v1/videos": ["queued"],
    RERANK: ["relevance_score", "top_n"],
    SCORE: ["score"],
}


@pytest.mark.parametrize("endpoint", SHOWN)
def test_the_page_of_a_result_shows_what_was_asked_and_answered(
    provider: Provider, client: Client, admin_client: Client, endpoint: str
) -> None:
    batch = of_file(client, endpoint, lines_of(endpoint, BODIES[endpoint][1][:1]))
    large = Result.objects.get(batch=batch)
    for path in ("result", "results"):
        arguments = [batch.pk, 0] if path == "result" else [batch.pk]
        page = admin_client.get(reverse(f"admin:batches_batch_{path}", args=arguments))
        assert page.status_code == 200
        text = page.content.decode()
        assert PIXEL not in text
        if path == "result":
            assert [word for word in SHOWN[endpoint] if word not in text] == []
    if "images" in endpoint:
        for body in ({"data": [{"b64_json": "a" * 300_000}]}, {"data": [{"other": "a" * 300_000}]}):
            Result.objects.filter(pk=large.pk).update(body=json.dumps(body))
            page = admin_client.get(reverse("admin:batches_batch_result", args=[batch.pk, 0]))
            assert len(page.content) < 260_000


def test_a_file_within_a_request_is_no_text() -> None:
    """Neither the estimate nor what is booked at the limits counts a photograph as a book."""
    bodies = {
        "/v1/images/edits": {"prompt": "x" * 400, "images": [{"image_url": PIXEL}]},
        "/v1/moderations": BODIES["/v1/moderations"][1][2],
        "/v1/pooling": {"input": ["x" * 400], "images": [{"image_url": PIXEL}]},
        "/v1/chat/completions": {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "x" * 400},
                        {"type": "image_url", "image_url": {"url": PIXEL}},
                    ],
                }
            ]
        },
    }
    for endpoint, body in bodies.items():
        content = json.dumps({"model": MODEL, **body}).encode()
        assert 0 < tokens_read(content, endpoint) < 200
        assert ModelCalls("m").tokens_of(request(content, endpoint)) < 1000


@pytest.mark.parametrize("endpoint", [path for path in RULES if not RULES[path].counts_tokens])
def test_a_budget_in_dollars_is_refused_where_nothing_counts_towards_it(
    provider: Provider, client: Client, endpoint: str
) -> None:
    provider.prices = {MODEL: {"input": 1, "output": 1}}
    provider.save()
    body = BODIES[endpoint][1][0]
    shared = {"model": MODEL, **body}
    asked = {"endpoint": endpoint, "body": shared, "requests": [body], "max_cost": 1}
    error = error_of(client.post("/v1/batches", asked, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("invalid_value", "max_cost")
    assert endpoint in error["message"]
