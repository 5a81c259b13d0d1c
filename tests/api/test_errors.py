"""Whatever goes wrong under /v1, the answer is the error that the official clients read."""

import logging
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.test import Client
from django.urls import path
from pydantic import BaseModel, ValidationError
from rest_framework import exceptions
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import ApiError, as_api_error, headers_of, refused
from batches.api.http.view import ApiView, RequestModel, parse_body, reply
from batches.engine.text.wording import dotted
from batches.errors import NotPossible
from config import urls
from tests.api.calling import client_of, error_of

pytestmark = pytest.mark.django_db


class Inner(RequestModel):
    seconds: int


class Body(RequestModel):
    name: str
    inner: Inner | None = None
    many: list[Inner] | None = None
    anything: dict[str, Any] | None = None


class Echo(ApiView):
    def post(self, request: Request) -> Response:
        return reply(parse_body(request, Body))

    def get(self, _request: Request) -> Response:
        raise RuntimeError("the password is 1234")


@pytest.fixture
def client(settings: Any) -> Client:
    """A client of views that are there to go wrong."""
    settings.ROOT_URLCONF = __name__
    client = client_of()
    client.raise_request_exception = False
    return client


def break_in_django(_request: HttpRequest) -> HttpResponse:
    raise RuntimeError("the password is 1234")


def suspect(_request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation("what is this")


urlpatterns = [
    path("v1/echo", Echo.as_view()),
    path("v1/broken", break_in_django),
    path("v1/suspect", suspect),
    *urls.urlpatterns,
]
handler400, handler404, handler500 = urls.handler400, urls.handler404, urls.handler500


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        (b"{", "invalid_json", None),
        (b"\xff\xfe", "invalid_json", None),
        (b"[]", "invalid_json", None),
        (b"null", "invalid_json", None),
        (b'{"name": NaN}', "invalid_json", "name"),
        (b'{"name": "x", "anything": {"a": -Infinity}}', "invalid_json", "anything.a"),
        (b'{"name": "\\ud800"}', "invalid_json", "name"),
        (b"[" * 100_000, "invalid_json", None),
        (b'{"a":' * 100_000, "invalid_json", None),
        (b'{"a":' * 300 + b"1" + b"}" * 300, "invalid_json", None),
        (b'{"a": 1, "b": ' + b"9" * 5000 + b"}", "invalid_json", None),
        (b'{"\\ud800": 1, "\\ud800": 2}', "invalid_json", None),
        (b'{"name": "\\\\ud83d\\ude00"}', "invalid_json", "name"),
        (b"", "missing_required_parameter", "name"),
        (b"{}", "missing_required_parameter", "name"),
        (b'{"name": null}', "invalid_value", "name"),
        (b'{"name": 1}', "invalid_value", "name"),
        (b'{"name": "x", "inner": {}}', "missing_required_parameter", "inner.seconds"),
        (b'{"name": "x", "inner": {"seconds": "1"}}', "invalid_value", "inner.seconds"),
        (b'{"name": "x", "inner": {"seconds": 1.0}}', "invalid_value", "inner.seconds"),
        (b'{"name": "x", "inner": {"seconds": true}}', "invalid_value", "inner.seconds"),
        (
            b'{"name": "x", "many": [{"seconds": 1}, {"seconds": []}]}',
            "invalid_value",
            "many[1].seconds",
        ),
        (b'{"name": "x", "nmae": "y"}', "unknown_parameter", "nmae"),
        (b'{"name": "a\\u0000b"}', "invalid_value", "name"),
        (b'{"name": "x", "a\\u0000": 1}', "invalid_value", None),
        (b'{"name": "x", "\\ud800": 1}', "invalid_json", None),
        (b'{"name": "x", "anything": {"a": [{"b\\u0000": 1}]}}', "invalid_value", "anything.a[0]"),
    ],
)
def test_a_bad_body_is_400_and_says_where(
    client: Client, body: bytes, code: str, param: str | None
) -> None:
    answer = client.post("/v1/echo", body, content_type="application/json")
    error = error_of(answer, 400)
    assert (error["code"], error["param"]) == (code, param)
    assert error["type"] == "invalid_request_error"
    assert param is None or param in error["message"]


MANY_NAMES = ", ".join(f'"a{number}": 0' for number in range(100_000))
TWINS = {
    "at the top": '{"name": "x", "name": "y"}',
    "with the same value": '{"name": "x", "name": "x"}',
    "below": '{"name": "x", "anything": {"a": 1, "name": 2, "name": 3}}',
    "in a list": '{"name": "x", "anything": {"a": [{}, [{"name": 1, "name": 2}]]}}',
    "in another spelling": '{"name": "x", "n\\u0061me": "y"}',
    "far behind": f'{{"anything": {{{MANY_NAMES}, "name": 1, "b": 2, "name": 3}}}}',
    "thrice": '{"name": 1, "name": 2, "name": 3}',
}


@pytest.mark.parametrize("body", TWINS.values(), ids=TWINS)
def test_a_name_that_is_given_twice_is_named(client: Client, body: str) -> None:
    error = error_of(client.post("/v1/echo", body, content_type="application/json"), 400)
    assert (error["code"], error["param"]) == ("invalid_json", "name")
    assert "'name' is given twice in one object. Give it once." in error["message"]


def test_a_long_name_that_is_given_twice_is_cut(client: Client) -> None:
    name = "n" * 100_000
    body = f'{{"{name}": 1, "{name}": 2}}'
    error = error_of(client.post("/v1/echo", body, content_type="application/json"), 400)
    assert "given twice" in error["message"]
    assert len(error["message"]) < 300


def test_the_same_name_in_several_objects_is_fine(client: Client) -> None:
    body = '{"name": "name", "anything": {"name": {"name": [{"name": 1}, {"name": 1}]}}}'
    assert client.post("/v1/echo", body, content_type="application/json").status_code == 200


def test_a_good_body_is_taken_with_all_that_text_may_hold(client: Client) -> None:
    body = {"name": "a\\u0000b \U0001f600 \u202e", "inner": {"seconds": 1}}
    answer = client.post("/v1/echo", body, content_type="application/json; charset=utf-8")
    assert answer.status_code == 200
    assert answer.json()["name"] == body["name"]


def test_a_body_of_another_kind_is_415(client: Client) -> None:
    for kind in ("text/plain", "application/json; charset=utf-16", "multipart/form-data"):
        answer = client.post("/v1/echo", "name=x", content_type=kind)
        assert error_of(answer, 415)["code"] == "unsupported_media_type"


def test_a_body_that_is_too_large_is_413(client: Client, settings: Any) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    answer = client.post("/v1/echo", {"name": "much too long"}, content_type="application/json")
    assert error_of(answer, 413)["code"] == "too_large"


def test_where_the_server_gives_nothing_of_a_body_in_chunks_that_is_411(client: Client) -> None:
    """A WSGI server, that is: config/asgi.py measures such a body."""
    reply = client.generic("POST", "/v1/batches", HTTP_TRANSFER_ENCODING="chunked")
    error = error_of(reply, 411)
    assert error["code"] == "length_required"
    assert "Content-Length" in error["message"]


def test_a_wrong_method_is_405_and_options_tell_the_right_ones(client: Client) -> None:
    assert error_of(client.delete("/v1/echo"), 405)["code"] == "method_not_allowed"
    answer = client.options("/v1/echo")
    assert answer.status_code == 204
    assert set(answer["Allow"].split(", ")) >= {"GET", "POST", "OPTIONS"}


@pytest.mark.parametrize("page", ["/v1/echo", "/v1/broken"])
def test_what_breaks_is_500_without_a_word_of_why_but_in_the_log(
    client: Client, page: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.get(page)
    error = error_of(answer, 500)
    assert error["type"] == "server_error"
    assert answer["x-request-id"] in error["message"]
    assert b"1234" not in answer.content
    logged = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert any(record.exc_info for record in logged)
    if page == "/v1/echo":
        assert any(answer["x-request-id"] in record.getMessage() for record in logged)


def test_what_django_refuses_is_400(client: Client) -> None:
    assert error_of(client.get("/v1/suspect"), 400)
    assert error_of(client.get("/v1/models", headers={"Host": "evil.example"}), 400)


@pytest.mark.parametrize(
    "page",
    ["/v1", "/v1/", "/v1/nothing", "/v1/files/", "/v1/files/x/y/z", "/v1/%00", "/v1/\N{BUG}"],
)
@pytest.mark.parametrize("method", ["get", "post", "delete", "options", "put"])
def test_an_unknown_path_is_404_and_named(client: Client, page: str, method: str) -> None:
    error = error_of(getattr(client, method)(page), 404)
    assert error["code"] == "unknown_url"
    assert error["message"].startswith("There is nothing at /v1")


def test_an_unknown_path_is_404_also_for_who_has_no_token(client: Client) -> None:
    assert error_of(Client().get("/v1/nothing"), 404)


def test_elsewhere_a_page_that_is_missing_is_no_json(client: Client) -> None:
    answer = client.get("/elsewhere")
    assert answer.status_code == 404
    assert "json" not in answer["Content-Type"]


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (ApiError(418, "tea"), 418, "invalid_request_error"),
        (NotPossible("no"), 409, "invalid_request_error"),
        (Http404(), 404, "invalid_request_error"),
        (PermissionDenied(), 403, "permission_error"),
        (exceptions.Throttled(wait=7), 429, "rate_limit_error"),
        (exceptions.NotAcceptable(), 406, "invalid_request_error"),
        (exceptions.ValidationError({"a": ["is wrong"]}), 400, "invalid_request_error"),
        (OperationalError("password=1234"), 503, "server_error"),
        (ValueError("1234"), 500, "server_error"),
    ],
)
def test_each_exception_has_its_status(raised: Exception, status: int, kind: str) -> None:
    error = as_api_error(raised)
    assert (error.status, error.type) == (status, kind)
    assert "1234" not in error.message


def test_who_is_throttled_may_try_again_and_learns_when() -> None:
    headers = headers_of(as_api_error(exceptions.Throttled(wait=7)))
    assert headers == {"Retry-After": "7"}


def test_an_answer_of_ours_that_does_not_fit_its_model_is_our_fault() -> None:
    """A client must not be told that its request is wrong when our answer is."""
    with pytest.raises(ValidationError) as caught:
        Body.model_validate({})
    assert as_api_error(caught.value).status == 500
    assert refused(caught.value).status == 400


class Choice(BaseModel):
    value: int | list[int]


def test_the_members_of_a_union_are_not_in_the_way() -> None:
    with pytest.raises(ValidationError) as caught:
        Choice.model_validate({"value": ["x"]})
    assert refused(caught.value).param in ("value", "value.int")


@pytest.mark.parametrize(
    ("location", "text"),
    [
        (("requests", 3, "body", "model"), "requests[3].body.model"),
        (("a",), "a"),
        ((0, "a"), "[0].a"),
        ((), ""),
    ],
)
def test_a_place_is_written_as_people_do(location: tuple[str | int, ...], text: str) -> None:
    assert dotted(location) == text


def test_a_request_id_is_ours_and_another_each_time(client: Client) -> None:
    answers = [client.get("/v1/models", headers={"x-request-id": "evil\tid"}) for _ in range(2)]
    first, second = (answer["x-request-id"] for answer in answers)
    assert first != second
    assert "evil" not in first


def test_stainless_headers_are_ignored(client: Client) -> None:
    headers = {"x-stainless-retry-count": "zwei", "OpenAI-Organization": "x", "Accept": "image/png"}
    assert client.get("/v1/models?format=xml", headers=headers).status_code == 200
