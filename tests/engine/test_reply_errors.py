import json
from typing import Any

import pytest

from batches.engine.errors import (
    AccessRefused,
    AuthError,
    ConfigError,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.records import ENDPOINTS, Endpoint
from batches.engine.replies import MAX_ERROR_BODY_BYTES, QUOTA_CODES, error_of, read_reply

# What the database has room for.
MOST_CODE_CHARS = 200


def envelope(message: Any = "no", **fields: Any) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


def error(status_code: int, raw: bytes, headers: dict[str, str] | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        read_reply("/v1/chat/completions", status_code=status_code, headers=headers or {}, raw=raw)
    return caught.value


@pytest.mark.parametrize(
    ("status_code", "cls"),
    [
        (204, RequestRefused),
        (301, ConfigError),
        (302, ConfigError),
        (307, ConfigError),
        (308, ConfigError),
        (400, RequestRefused),
        (401, AuthError),
        (402, QuotaError),
        (404, ConfigError),
        (408, ServerError),
        (409, ServerError),
        (413, RequestRefused),
        (422, RequestRefused),
        (429, RateLimited),
        (500, ServerError),
        (502, ServerError),
        (503, Overloaded),
        (504, ServerError),
        (529, Overloaded),
        (599, ServerError),
    ],
)
@pytest.mark.parametrize("raw", [envelope(), b"", b"<html>no</html>"])
def test_each_status_has_its_class_whatever_its_body(
    status_code: int, cls: type[ProviderError], raw: bytes
) -> None:
    got = error(status_code, raw)
    assert type(got) is cls
    assert got.status_code == status_code


@pytest.mark.parametrize(
    ("raw", "cls"),
    [
        (envelope(), AccessRefused),
        (envelope(code="permission_error"), AccessRefused),
        (envelope("Project has no access to the model", code="model_not_found"), ConfigError),
        (envelope("Your input was flagged"), RequestRefused),
        (envelope(code="invalid_api_key"), AuthError),
        (b"<html>Sorry, you have been blocked</html>", ConfigError),
        (b"", ConfigError),
    ],
)
def test_a_403_may_be_of_the_key_the_model_the_prompt_or_of_what_stands_before_them(
    raw: bytes, cls: type[ProviderError]
) -> None:
    assert type(error(403, raw)) is cls


@pytest.mark.parametrize(
    "raw",
    [
        envelope("Incorrect API key provided", code="invalid_api_key"),
        envelope("API key not valid. Please pass a valid API key.", code=400),
    ],
)
def test_a_key_that_is_refused_with_a_400_is_a_key_that_is_refused(raw: bytes) -> None:
    assert type(error(400, raw)) is AuthError


def test_a_model_that_is_not_found_is_that_whatever_the_status() -> None:
    assert type(error(400, envelope(code="model_not_found"))) is ConfigError


def test_a_request_that_no_minute_has_room_for_is_not_tried_again() -> None:
    message = "Request too large for gpt-x on tokens per min (TPM): Limit 100, Requested 200."
    assert type(error(429, envelope(message, type="tokens"))) is RequestRefused


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'credit balance'. Supported values are: 'a'.",
        'No such tool "raise the spend limit"',
        "In messages[0]: I have reached my specified API usage limits",
    ],
)
def test_a_prompt_that_is_quoted_does_not_empty_the_account(message: str) -> None:
    assert type(error(400, envelope(message))) is RequestRefused


@pytest.mark.parametrize("code", sorted(QUOTA_CODES))
@pytest.mark.parametrize("field", ["code", "type"])
@pytest.mark.parametrize("status_code", [400, 403, 429])
def test_a_quota_code_pauses_although_its_status_would_not(
    code: str, field: str, status_code: int
) -> None:
    other = {"type": "some_error"} if field == "code" else {"code": "some_code"}
    assert type(error(status_code, envelope(**{field: code}, **other))) is QuotaError


@pytest.mark.parametrize(
    "code",
    [
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "project_spend_limit_exceeded",
        "organization_usage_limit_exceeded",
        "enforced_spend_limit_reached",
        "billing_error",
    ],
)
def test_the_quota_codes_that_providers_document_are_known(code: str) -> None:
    assert type(error(429, envelope(type=code, code=None))) is QuotaError


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"code": None, "type": None},
        {"code": "rate_limit_exceeded", "type": "requests"},
        {"code": "rate_limit_exceeded", "type": "tokens"},
        {"type": "rate_limit_error"},
        {"code": 429, "status": "RESOURCE_EXHAUSTED"},
        {"message": "You exceeded your current quota of requests per minute"},
        {"message": "insufficient_quota is only named here"},
    ],
)
def test_an_ordinary_429_is_only_a_matter_of_pace(fields: dict[str, Any]) -> None:
    assert type(error(429, envelope(**fields))) is RateLimited


def test_an_empty_account_that_is_told_by_its_message_pauses() -> None:
    message = "Your credit balance is too low to access the Anthropic API."
    assert type(error(400, envelope(message, type="invalid_request_error"))) is QuotaError
    assert type(error(400, envelope("The word credit is not enough"))) is RequestRefused


def test_an_error_carries_what_the_provider_said() -> None:
    raw = envelope("too fast", code="rate_limit_exceeded", type="requests")
    got = error(429, raw, {"x-request-id": "req_9", "retry-after-ms": "250"})
    assert got.message == "HTTP 429: too fast"
    assert (got.code, got.request_id, got.retry_after_s) == ("rate_limit_exceeded", "req_9", 0.25)
    assert json.loads(got.body or "") == json.loads(raw)


def test_the_type_stands_in_for_a_code_that_is_missing() -> None:
    assert error(429, envelope(type="rate_limit_error")).code == "rate_limit_error"
    assert error(500, envelope()).code is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "HTTP 500: no message"),
        (b"<h1>Bad\n gateway</h1>", "HTTP 500: <h1>Bad gateway</h1>"),
        (b'{"detail": "no"}', 'HTTP 500: {"detail": "no"}'),
        (b'{"error": "no"}', "HTTP 500: no"),
        (b'{"error": {"message": null}}', "HTTP 500: no message"),
        (b"caf\xe9", "HTTP 500: caf\ufffd"),
        (b"a\x00b", "HTTP 500: ab"),
    ],
)
def test_any_body_gives_a_message_of_one_line(raw: bytes, message: str) -> None:
    assert error(500, raw).message == message


HOSTILE = {
    "nothing": b"",
    "a page": b"<html>\r\n" + b"x" * 100_000,
    "bytes": bytes(range(256)),
    "NUL": envelope("a\x00b", code="c\x00", type="t\x00"),
    "a lone surrogate": envelope("a\ud800b", code="\udfff"),
    "NaN": b'{"error": {"message": "no", "x": NaN, "y": -Infinity}}',
    "a float too large": b'{"error": {"message": "no", "x": 1e400}}',
    "pretty-printed": json.dumps({"error": {"message": "a\nb"}}, indent=2).encode(),
    "long": envelope("m" * 100_000, code="c" * 100_000),
    "a code of 600 characters": envelope("no", code="c" * 600),
    "an integer of 5,000 digits": b'{"error":{"message":"no"},\n"x":' + b"1" * 5000 + b"}",
    "deep": b'{"error":{"message":"no"},\n"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "100,000 brackets": b"[" * 100_000,
    "two errors": b'{"error":{"message":"a"},"error":{"message":"b"}}',
    "a message that is none": b'{"error":{"message":{"a":[1]},"code":[],"type":{}}}',
    "a list": b'[{"error":{"message":"no","code":400}}]',
}


@pytest.mark.parametrize("status_code", [200, 400, 429, 500])
@pytest.mark.parametrize("raw", HOSTILE.values(), ids=HOSTILE)
def test_an_error_can_be_stored_whatever_its_body_holds(status_code: int, raw: bytes) -> None:
    got = error(status_code, raw)
    for text in (got.message, got.code or "", got.body or ""):
        text.encode()
        assert "\x00" not in text
        assert len(text.splitlines()) <= 1
    assert len(got.message) < 600
    assert len(got.code or "") <= MOST_CODE_CHARS
    if status_code != 200:
        assert got.body is not None
        assert len(got.body) < 2 * MAX_ERROR_BODY_BYTES
        assert "error" in json.loads(got.body, parse_constant=pytest.fail)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("raw", "cls", "status_code"),
    [
        (envelope(code=429), RateLimited, 429),
        (envelope(code=401), AuthError, 401),
        (envelope(code=402), QuotaError, 402),
        (envelope(code=404), ConfigError, 404),
        (envelope(code=503), Overloaded, 503),
        (envelope(code=500), ServerError, 500),
        (envelope(code=200), ServerError, 502),
        (envelope(code=99), ServerError, 502),
        (envelope(code="overloaded"), ServerError, 502),
        (envelope(), ServerError, 502),
        (b'{"error": "no"}', ServerError, 502),
    ],
)
def test_a_gateway_that_answers_200_with_an_error_is_taken_at_its_word(
    endpoint: Endpoint, raw: bytes, cls: type[ProviderError], status_code: int
) -> None:
    headers = {"x-request-id": "req_9"}
    with pytest.raises(ProviderError) as caught:
        read_reply(endpoint, status_code=200, headers=headers, raw=raw)
    got = caught.value
    assert type(got) is cls
    assert (got.status_code, got.request_id) == (status_code, "req_9")
    assert json.loads(got.body or "") == json.loads(raw)


@pytest.mark.parametrize("code", ["insufficient_quota", "billing_error"])
def test_a_gateway_that_answers_200_with_a_quota_code_pauses(code: str) -> None:
    assert type(error(200, envelope(code=code))) is QuotaError


def test_a_null_error_beside_a_reply_is_none() -> None:
    raw = b'{"error": null, "choices": [{"message": {"content": "hello"}}]}'
    got = read_reply("/v1/chat/completions", status_code=200, headers={}, raw=raw)
    assert got.answer == "hello"


def test_the_cause_of_an_error_in_a_200_is_kept() -> None:
    got = error(200, envelope(code=429))
    assert got.__cause__ is not None
    assert error_of(429, {}, envelope()).__cause__ is None
