import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.endpoints import ENDPOINTS
from batches.engine.errors import (
    AccessRefused,
    AuthError,
    ConfigError,
    FailureKind,
    MalformedReply,
    Overloaded,
    ProviderError,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.records import Reply
from batches.engine.replies.error_rows import Said, plain_code
from batches.engine.replies.error_table import ROWS, row_of
from batches.engine.replies.errors import MAX_ERROR_BODY_BYTES, error_of, own_words
from batches.engine.replies.replies import read_reply

# What the database has room for.
MOST_CODE_CHARS = 200
CHAT = "/v1/chat/completions"


def envelope(message: Any = "no", **fields: Any) -> bytes:
    return json.dumps({"error": {"message": message, **fields}}).encode()


def read(status_code: int, body: Any, headers: dict[str, str] | None = None) -> Reply:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return read_reply(CHAT, status_code=status_code, headers=headers or {}, raw=raw)


def error(status_code: int, body: Any, headers: dict[str, str] | None = None) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        read(status_code, body, headers)
    return caught.value


@pytest.mark.parametrize(
    ("status_code", "cls"),
    [
        (301, ConfigError),
        (302, ConfigError),
        (307, ConfigError),
        (308, ConfigError),
        (400, RequestRefused),
        (401, AuthError),
        (402, QuotaError),
        *((status, ConfigError) for status in (404, 405, 410, 501)),
        *((status, ServerError) for status in (408, 409, 421, 423, 424, 425, 444, 460, 499)),
        *((status, ServerError) for status in (504, *range(520, 529), 530, 598)),
        *((status, Overloaded) for status in (498, 509)),
        *((status, RequestRefused) for status in (406, 411, 414, 415, 418, 431, 451)),
        (407, AuthError),
        (420, RateLimited),
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


@pytest.mark.parametrize("code", ["insufficient_quota", "exceeded_current_quota_error", "1113"])
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
        {"message": "The value 'insufficient_quota' is only quoted here"},
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
        (b"<h1>Bad\n gateway</h1>", "HTTP 500: Bad gateway"),
        (b'{"detail": "no"}', "HTTP 500: no"),
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
    if got.body is not None:
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
        (envelope(code="overloaded"), Overloaded, 503),
        (envelope(code="429"), RateLimited, 429),
        (envelope(type="rate_limit_error"), RateLimited, 429),
        (envelope(type="server_error"), ServerError, 502),
        (envelope(type="invalid_request_error"), RequestRefused, 400),
        (envelope(status="PERMISSION_DENIED"), AccessRefused, 403),
        (envelope(code="invalid_api_key"), AuthError, 401),
        (envelope(), ServerError, 502),
        (b'{"error": "no"}', ServerError, 502),
    ],
)
def test_a_gateway_that_answers_200_with_an_error_is_taken_at_its_word(
    endpoint: str, raw: bytes, cls: type[ProviderError], status_code: int
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


WHOLE = {"message": {"content": "half a sen"}, "finish_reason": "stop"}
FAILED_INSIDE = {
    "a choice": (
        {"choices": [{**WHOLE, "finish_reason": "error", "error": {"code": 429, "message": "E!"}}]},
        RateLimited,
    ),
    "a choice by its place": ({"choices": {"0": {**WHOLE, "error": "E!"}}}, ServerError),
    "one choice": ({"choices": {**WHOLE, "error": {"code": 429, "message": "E!"}}}, RateLimited),
    "a choice in a field": (
        {"result": {"choices": [{**WHOLE, "error": {"code": 502, "message": "E!"}}]}},
        ServerError,
    ),
    "a choice with a text": ({"choices": [{**WHOLE, "error": "E!"}]}, ServerError),
    "a message": (
        {
            "choices": [
                {
                    "message": {"content": "half a sen", "error": {"code": 502, "message": "E!"}},
                    "finish_reason": None,
                }
            ]
        },
        ServerError,
    ),
    "beside the choices": (
        {"choices": [WHOLE], "error": {"message": "E!", "code": 401}},
        AuthError,
    ),
    "a text beside the choices": ({"choices": [WHOLE], "error": "E!"}, ServerError),
    "without a code": (
        {"choices": [WHOLE], "error": {"message": "E!", "type": None, "param": None, "code": None}},
        ServerError,
    ),
    "a list beside the choices": ({"choices": [WHOLE], "error": ["E!"]}, ServerError),
    "a code as text": ({"choices": [], "error": {"message": "E!", "code": "402"}}, QuotaError),
    "flat": ({"object": "error", "message": "E!", "code": 404}, ConfigError),
    "flat, of vLLM": (
        {"object": "error", "message": "E!", "type": "NotFoundError", "param": None, "code": 404},
        ConfigError,
    ),
    "flat, without a status": ({"code": "Throttling.RateQuota", "message": "E!"}, RateLimited),
    "of Anthropic": (
        {"type": "error", "error": {"type": "overloaded_error", "message": "E!"}},
        Overloaded,
    ),
    "of MiniMax, money": (
        {"choices": None, "base_resp": {"status_code": 1008, "status_msg": "E!"}},
        QuotaError,
    ),
    "of MiniMax, pace": ({"base_resp": {"status_code": 1002, "status_msg": "E!"}}, RateLimited),
    "of MiniMax, key": ({"base_resp": {"status_code": 1004, "status_msg": "E!"}}, AuthError),
    "of Baidu": (
        {"error_code": 17, "error_msg": "E! Open api daily request limit reached"},
        QuotaError,
    ),
    "of Baidu, pace": ({"error_code": 18, "error_msg": "E! qps request limit"}, RateLimited),
    "of Tencent": (
        {"Response": {"Error": {"Code": "AuthFailure.SignatureFailure", "Message": "E!"}}},
        AuthError,
    ),
    "of Cloudflare": (
        {"success": False, "errors": [{"code": 500, "message": "E!"}], "result": None},
        ServerError,
    ),
    "success false": ({"success": False, "error": "E!", "code": "insufficient_quota"}, QuotaError),
    "a list": ([{"error": {"code": 503, "message": "E!", "status": "UNAVAILABLE"}}], Overloaded),
    "an event": (b'data: {"error": {"message": "E!", "code": 429}}\n\ndata: [DONE]\n', RateLimited),
    "an event of its own": (
        b'event: error\ndata: {"error":{"type":"rate_limit_error","message":"E!"}}\n',
        RateLimited,
    ),
    "an event after half an answer": (
        b'data: {"choices":[{"delta":{"content":"half"}}]}\n\ndata: {"error":{"message":"E!"}}\n',
        ServerError,
    ),
}


@pytest.mark.parametrize(("body", "cls"), FAILED_INSIDE.values(), ids=FAILED_INSIDE)
@pytest.mark.parametrize("status_code", [200, 202])
def test_an_error_inside_a_good_status_decides_by_its_own_code(
    body: Any, cls: type[ProviderError], status_code: int
) -> None:
    got = error(status_code, body)
    assert type(got) is cls
    assert "E!" in got.message
    assert "E!" in (got.body or "")
    assert got.status_code is not None
    assert got.status_code >= 400


IN_WORDS_ALONE: dict[str, tuple[Any, type[ProviderError]]] = {
    "status and message": ({"status": "error", "message": "invalid api key"}, AuthError),
    "detail": ({"detail": "Rate limit exceeded"}, RateLimited),
    "beside no choices": ({"choices": [], "message": "余额不足"}, QuotaError),
    "beside an empty choice": (
        {"choices": [{"message": {"content": None}}], "message": "余额不足"},
        QuotaError,
    ),
    "beside a choice that is null": ({"choices": [None], "message": "余额不足"}, QuotaError),
    "beside empty counts": (
        {"choices": [], "usage": {"prompt_tokens": 0}, "msg": "Insufficient balance"},
        QuotaError,
    ),
    "success false": ({"success": False, "message": "Too many requests"}, RateLimited),
    "a model": ({"message": "The model x does not exist"}, ConfigError),
    "errors": ({"errors": ["Incorrect API key provided"]}, AuthError),
    "words that are not known": ({"status": "error", "message": "boom"}, MalformedReply),
    "the answer of another dialect": ({"response": "invalid api key, done"}, MalformedReply),
}


@pytest.mark.parametrize(("body", "cls"), IN_WORDS_ALONE.values(), ids=IN_WORDS_ALONE)
def test_an_error_inside_a_good_status_without_a_code_is_known_by_its_words(
    body: Any, cls: type[ProviderError]
) -> None:
    assert type(error(200, body)) is cls


def test_a_whole_answer_beside_words_that_sound_like_an_error_is_kept() -> None:
    body = {"choices": [{"message": {"content": "hello"}}], "message": "invalid api key"}
    assert read(200, body).answer == "hello"


@pytest.mark.parametrize("failed", [{"error": {"code": 502}}, {"message": {"error": "E!"}}])
def test_an_error_in_a_choice_that_is_not_read_costs_nothing(failed: dict[str, Any]) -> None:
    assert read(200, {"choices": [WHOLE, {"index": 1, **failed}]}).answer == "half a sen"


def test_an_event_with_an_error_in_another_choice_costs_nothing() -> None:
    events = [
        {"choices": [{"index": 1, "delta": {}, "error": {"code": 502}}]},
        {"choices": [{"index": 0, "delta": {"content": "hello"}, "finish_reason": "stop"}]},
    ]
    raw = "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode()
    assert read(200, raw).answer == "hello"


# -- money, keys and models, in the words of many


def google(message: str, status: str, code: int, **detail: Any) -> list[Any]:
    return [{"error": {"code": code, "message": message, "status": status, "details": [detail]}}]


PLAN = "You exceeded your current quota, please check your plan and billing details."
NO_MONEY: dict[str, tuple[int, Any]] = {
    "OpenAI": (429, {"error": {"message": PLAN, "type": "insufficient_quota", "code": None}}),
    "OpenAI, not active": (429, {"error": {"message": "x", "code": "billing_not_active"}}),
    "Perplexity": (401, {"error": {"message": PLAN, "type": "insufficient_quota", "code": 401}}),
    "Anthropic": (
        400,
        {
            "type": "error",
            "error": {
                "type": "invalid_request_error",
                "message": "Your credit balance is too low to access the Anthropic API.",
            },
        },
    ),
    "Anthropic, limit": (
        400,
        {"error": {"message": "You have reached your specified API usage limits. Wait till May."}},
    ),
    "Moonshot": (
        429,
        {
            "error": {
                "message": "Your account org-1 <ak-2> is suspended, please check your plan",
                "type": "exceeded_current_quota_error",
            }
        },
    ),
    "Moonshot, words alone": (
        429,
        {"message": "Your account org-1 <ak-2> is suspended due to insufficient balance"},
    ),
    "DashScope": (
        400,
        {"code": "Arrearage", "message": "Access denied, please make sure your account is fine."},
    ),
    "DashScope, words alone": (
        400,
        {"error": {"message": "Access denied, please make sure your account is in good standing."}},
    ),
    "DashScope, free tier": (
        403,
        {"error": {"code": "AllocationQuota.FreeTierOnly", "message": "The free tier is over."}},
    ),
    "Zhipu": (429, {"error": {"code": "1113", "message": "您的账户已欠费"}}),
    "Zhipu, a number": (429, {"error": {"code": 1113, "message": "no"}}),
    "Zhipu, words alone": (
        429,
        {"error": {"message": "Insufficient balance or no resource package. Please recharge."}},
    ),
    "Volcengine": (
        403,
        {"error": {"code": "AccountOverdueError", "message": "The request failed", "type": "F"}},
    ),
    "Volcengine, words": (
        403,
        {"error": {"message": "The request failed because your account has an overdue balance."}},
    ),
    "Volcengine, trial": (
        429,
        {
            "error": {
                "code": "QuotaExceeded",
                "message": "Your account has exhausted its free quota",
            }
        },
    ),
    "MiniMax": (200, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}),
    "SiliconFlow": (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    "DeepSeek": (402, {"error": {"message": "Insufficient Balance", "type": "unknown_error"}}),
    "Tencent": (400, {"error": {"code": "FailedOperation.FreeResourcePackExhausted"}}),
    "Baidu": (200, {"error_code": 19, "error_msg": "Open api total request limit reached"}),
    "OpenRouter": (402, {"error": {"code": 402, "message": "Insufficient credits"}}),
    "OpenRouter, key": (
        403,
        {"error": {"code": 403, "message": "Key limit exceeded (total limit)"}},
    ),
    "OpenRouter, day": (
        429,
        {
            "error": {
                "message": "Rate limit exceeded: free-models-per-day. Add 10 credits",
                "code": 429,
            }
        },
    ),
    "xAI": (
        403,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Your newly created team doesn't have any credits or licenses yet.",
        },
    ),
    "xAI, spent": (
        429,
        {
            "code": "Some resource has been exhausted",
            "error": "Your team 1 has either used all available credits or reached its limit.",
        },
    ),
    "Fireworks": (
        412,
        {
            "error": {
                "message": "Account x is suspended, possibly due to unpaid invoices",
                "code": "P",
            }
        },
    ),
    "Azure": (
        403,
        {"statusCode": 403, "message": "Out of call volume quota. It returns in 01:23."},
    ),
    "Google, a day": (
        429,
        google(
            PLAN,
            "RESOURCE_EXHAUSTED",
            429,
            violations=[{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}],
            retryDelay="38s",
        ),
    ),
    "Google, billing": (
        403,
        google(
            "This API method requires billing.", "PERMISSION_DENIED", 403, reason="BILLING_DISABLED"
        ),
    ),
    "Cohere": (
        429,
        {"message": "You are using a Trial key, which is limited to 1000 API calls / month."},
    ),
    "Cloudflare": (
        429,
        {"errors": [{"message": "you have used up your daily free allocation of neurons"}]},
    ),
    "Hugging Face": (402, {"error": "You have exceeded your monthly included credits"}),
    "LiteLLM": (
        400,
        {
            "error": {
                "message": "Budget has been exceeded! Current cost: 1",
                "type": "budget_exceeded",
            }
        },
    ),
    "LiteLLM, passed on": (
        429,
        {
            "error": {
                "message": "litellm.RateLimitError: OpenAIException - Error code: 429 - "
                "{'error': {'message': 'x', 'code': 'insufficient_quota'}}",
                "type": "throttling_error",
                "code": "429",
            }
        },
    ),
    "one-api": (403, {"error": {"message": "用户额度不足", "type": "new_api_error"}}),
    "one-api, code": (403, {"error": {"message": "x", "code": "insufficient_user_quota"}}),
    "OpenRouter, passed on": (
        429,
        {
            "error": {
                "message": "Provider returned error",
                "code": 429,
                "metadata": {"raw": '{"error":{"message":"x","code":"insufficient_quota"}}'},
            }
        },
    ),
    "Novita": (403, {"code": 403, "reason": "NOT_ENOUGH_BALANCE", "message": "not enough balance"}),
    "Portkey": (412, {"status": "failure", "message": "Portkey Error: budget has been exceeded"}),
    "problem+json": (
        403,
        {"type": "https://x.test/probs/insufficient-credit", "title": "No", "status": 403},
    ),
    "Apigee": (403, {"fault": {"faultstring": "Insufficient funds", "detail": {"errorcode": "x"}}}),
    "late in a long message": (
        403,
        {
            "error": {
                "message": "The upstream said: " + "word " * 500 + "your account is in arrears"
            }
        },
    ),
    "plain text": (403, b"Insufficient balance, please recharge"),
    "a code alone": (429, {"error": "insufficient_quota"}),
    "a status inside": (429, {"error": {"code": 402, "message": "no"}}),
    "underscores": (400, {"message": "account_balance: insufficient_balance in your wallet"}),
    "used up": (429, {"message": "The quota of this key is used up"}),
    "exhausted": (429, {"message": "Your monthly token quota has been exhausted"}),
    "usage limit": (429, {"message": "You have hit your usage limit. It resets on May 1."}),
    "not sufficient": (403, {"message": "Balance not sufficient"}),
    "too low": (403, {"message": "Your wallet balance is much too low"}),
    "the bill": (403, {"message": "Account disabled: payment failed"}),
    "the calls": (429, {"message": "The calls of this account have been used up"}),
    "top up": (403, {"message": "Please top up your wallet to continue"}),
    "a plan": (403, {"message": "Your subscription has expired"}),
    "a text": (429, {"error": "You have run out of credits"}),
    "one-api, in advance": (
        403,
        {"error": {"message": "预扣费额度失败, 用户剩余额度: $0.01, 需要预扣费额度: $0.02"}},
    ),
    "nothing remains": (400, {"message": "There is no remaining balance on this key"}),
    "not enough": (400, {"message": "not enough quota, remaining 0"}),
    "prepaid": (429, {"message": "Your prepaid tokens are used up"}),
    "a code in a sentence": (400, {"message": "Failed: insufficient_balance.Please recharge"}),
    "a URL beside it": (403, {"message": "Out of credits, see https://x.test/buy_more."}),
    "no space after a stop": (403, {"message": "Insufficient balance.Please pay"}),
    "detail": (400, {"detail": "Payment required: add a payment method"}),
    "msg": (500, {"success": False, "msg": "balance is not enough"}),
}


@pytest.mark.parametrize(("status_code", "body"), NO_MONEY.values(), ids=NO_MONEY)
def test_an_account_without_money_pauses_in_whatever_words(status_code: int, body: Any) -> None:
    got = error(status_code, body)
    assert type(got) is QuotaError
    assert got.message.startswith("HTTP ")


BAD_KEYS: dict[str, tuple[int, Any]] = {
    "Google": (
        400,
        google("API key not valid.", "INVALID_ARGUMENT", 400, reason="API_KEY_INVALID"),
    ),
    "Google, words alone": (400, [{"error": {"message": "API key not valid. Pass a valid one."}}]),
    "Google, expired": (400, google("API key expired. Renew it.", "INVALID_ARGUMENT", 400)),
    "Google, in a 200": (200, google("no", "UNAUTHENTICATED", 401)),
    "OpenAI": (400, {"error": {"message": "Incorrect API key provided: sk-x", "code": None}}),
    "DashScope": (400, {"code": "InvalidApiKey", "message": "no", "request_id": "1"}),
    "Moonshot": (400, {"error": {"type": "invalid_authentication_error", "message": "no"}}),
    "MiniMax": (200, {"base_resp": {"status_code": 2049, "status_msg": "invalid api key"}}),
    "Tencent": (200, {"Response": {"Error": {"Code": "AuthFailure.SecretIdNotFound"}}}),
    "AWS": (403, {"__type": "com.amazon#UnrecognizedClientException", "message": "no"}),
    "LiteLLM": (400, {"error": {"type": "auth_error", "message": "no"}}),
    "Anthropic": (403, {"type": "error", "error": {"type": "authentication_error"}}),
    "FastAPI": (403, {"detail": "Could not validate credentials"}),
    "FastAPI, an object": (403, {"detail": {"message": "Invalid API key"}}),
    "plain text": (403, b"Invalid API key"),
    "a code alone": (403, {"detail": "Unauthorized"}),
    "a status inside": (500, {"error": {"code": "401", "message": "no"}}),
    "underscores": (400, {"message": "The api_key is invalid"}),
    "an account": (403, {"message": "Your account has been deactivated, please contact us"}),
    "an account that is disabled": (400, {"message": "Your account x has been disabled."}),
    "a header": (400, {"message": "Authorization header is missing"}),
    "one word": (400, {"message": "Your apikey has expired"}),
    "a number as text": (200, {"error": {"message": "no", "code": "401"}}),
    "passed on": (
        500,
        {"error": {"message": 'upstream: {"error": {"code": "invalid_api_key"}}'}},
    ),
    "one-api": (400, {"error": {"message": "无效的令牌", "type": "one_api_error"}}),
}


@pytest.mark.parametrize(("status_code", "body"), BAD_KEYS.values(), ids=BAD_KEYS)
def test_a_key_that_is_no_good_is_that_in_whatever_words(status_code: int, body: Any) -> None:
    assert type(error(status_code, body)) is AuthError


WRONG_MODELS: dict[str, tuple[int, Any]] = {
    "OpenAI": (400, {"error": {"message": "The requested model 'x' does not exist."}}),
    "OpenAI, no access": (
        403,
        {"error": {"message": "Project `p` does not have access to model `x`", "code": None}},
    ),
    "vLLM": (
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError"},
    ),
    "vLLM, in a 400": (400, {"error": {"message": "The model `x` does not exist.", "code": 404}}),
    "Ollama": (400, {"error": "model 'x' not found, try pulling it first"}),
    "Ollama, without quotes": (400, {"error": "model x:latest not found"}),
    "LiteLLM": (400, {"error": {"message": "Invalid model name passed in model=x. Call /models"}}),
    "LiteLLM, in detail": (400, {"detail": {"error": "Invalid model name passed in model=x"}}),
    "Azure": (
        400,
        {"error": {"code": "DeploymentNotFound", "message": "The API deployment is not"}},
    ),
    "Groq": (400, {"error": {"message": "no", "code": "model_decommissioned"}}),
    "Mistral": (400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model"}),
    "Google": (
        400,
        google("models/gemini-1.0-x is not found for API version v1", "NOT_FOUND", 400),
    ),
    "OpenRouter": (400, {"error": {"message": "x/y is not a valid model ID", "code": 400}}),
    "DashScope": (400, {"error": {"message": "no", "code": "model_not_found"}}),
    "Volcengine": (403, {"error": {"code": "InvalidEndpointOrModel.NotFound", "message": "no"}}),
    "Volcengine, not open": (403, {"error": {"code": "ModelNotOpen", "message": "no"}}),
    "Zhipu": (400, {"error": {"code": "1211", "message": "模型不存在"}}),
    "SiliconFlow": (400, {"code": 20012, "message": "Model does not exist. Please check it."}),
    "DeepSeek": (400, {"error": {"message": "Model Not Exist", "type": "invalid_request_error"}}),
    "Together": (400, {"error": {"message": "Unable to access model x. See the list."}}),
    "LiteLLM, the key": (401, {"error": {"type": "key_model_access_denied", "message": "no"}}),
    "Bedrock": (400, {"message": "The provided model identifier is invalid."}),
    "a list of models": (400, {"error": {"message": "`x` is not a supported model"}}),
    "inside a 200": (200, {"error": {"message": "The model x is not available"}}),
}


@pytest.mark.parametrize(("status_code", "body"), WRONG_MODELS.values(), ids=WRONG_MODELS)
def test_a_model_that_is_not_there_is_the_set_up_in_whatever_words(
    status_code: int, body: Any
) -> None:
    assert type(error(status_code, body)) is ConfigError


BROKE = "my account has an insufficient balance and my api key is invalid"
HARMLESS: dict[str, tuple[int, Any, type[ProviderError]]] = {
    "a prompt refused by moderation": (
        400,
        {"error": {"message": f"Your prompt was flagged: {BROKE}", "code": None}},
        RequestRefused,
    ),
    "a refused prompt beside a code": (
        400,
        {"error": {"message": f"Rejected, {BROKE}", "code": "content_policy_violation"}},
        RequestRefused,
    ),
    "moderation that charges nothing": (
        403,
        {"error": {"message": "Your input was flagged for 'x'. No credits were charged."}},
        RequestRefused,
    ),
    "a flagged input beside it": (
        403,
        {"error": {"message": "Your input was flagged", "metadata": {"flagged_input": BROKE}}},
        RequestRefused,
    ),
    "the context": (
        400,
        {"error": {"message": "This model's maximum context length is 10. It is exceeded."}},
        RequestRefused,
    ),
    "the context, by code": (
        400,
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
        RequestRefused,
    ),
    "permissions": (
        403,
        {"error": {"message": "Missing scopes: model.request", "code": "insufficient_permissions"}},
        AccessRefused,
    ),
    "a quota for each minute": (
        429,
        {"error": {"message": "Quota exceeded for quota metric 'Generate requests per minute'"}},
        RateLimited,
    ),
    "a quota for each minute, by code": (
        429,
        {
            "error": {
                "message": "Quota exceeded for quota metric 'Generate requests per minute'",
                "status": "RESOURCE_EXHAUSTED",
                "details": [{"reason": "RATE_LIMIT_EXCEEDED"}],
            }
        },
        RateLimited,
    ),
    "Google, a minute": (
        429,
        google(
            PLAN,
            "RESOURCE_EXHAUSTED",
            429,
            violations=[{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}],
        ),
        RateLimited,
    ),
    "Google, passed on without details": (
        429,
        {"error": {"message": f"{PLAN}\n* Quota exceeded for metric x.\nPlease retry in 38.2s."}},
        RateLimited,
    ),
    "DashScope, pace": (
        429,
        {
            "code": "Throttling.AllocationQuota",
            "message": "Allocated quota exceeded, please increase your quota limit.",
        },
        RateLimited,
    ),
    "OpenAI, a day": (
        429,
        {
            "error": {
                "message": "Rate limit reached for x on requests per day (RPD): Limit 200. "
                "Please try again in 7m12s. Add a payment method to increase it.",
                "code": "rate_limit_exceeded",
            }
        },
        RateLimited,
    ),
    "Azure, pace": (
        429,
        {
            "error": {
                "code": "429",
                "message": "Requests have exceeded call rate limit of your current pricing tier. "
                "Please retry after 26 seconds. Go to quotaincrease to raise it.",
            }
        },
        RateLimited,
    ),
    "Cohere, a minute": (
        429,
        {"message": "You are using a Trial key, which is limited to 20 API calls / minute."},
        RateLimited,
    ),
    "a quoted prompt": (
        400,
        {"error": {"message": f"Invalid value: '{BROKE}'. Supported values are: 'a'."}},
        RequestRefused,
    ),
    "a quoted prompt with an apostrophe": (
        400,
        {"error": {"message": f"Invalid value: 'I don't know, {BROKE}'."}},
        RequestRefused,
    ),
    "a quoted prompt that is cut off": (
        400,
        {"error": {"message": f'Could not parse "{BROKE} and so'}},
        RequestRefused,
    ),
    "a quoted message": (
        422,
        {"detail": [{"loc": ["body", "messages", 0, "content"], "msg": BROKE, "type": "value"}]},
        RequestRefused,
    ),
    "the request sent back": (
        422,
        {
            "detail": [
                {
                    "loc": ["body"],
                    "msg": "Field required",
                    "type": "missing",
                    "input": {"error": BROKE, "code": "insufficient_quota"},
                }
            ]
        },
        RequestRefused,
    ),
    "a prompt that is JSON": (
        400,
        {"error": {"message": 'Invalid prompt: {"error": {"code": "insufficient_quota"}}'}},
        RequestRefused,
    ),
    "a file that is not there": (
        400,
        {"error": {"message": "The model could not load it: file not found"}},
        RequestRefused,
    ),
    "credits of another kind": (
        400,
        {"error": {"message": "You asked for more credits of the course than there are"}},
        RequestRefused,
    ),
    "Google, a check": (
        429,
        {"error": {"message": "Resource has been exhausted (e.g. check quota).", "code": 429}},
        RateLimited,
    ),
    "Azure, a filter": (
        400,
        {
            "error": {
                "message": "The response was filtered due to the prompt triggering the content "
                "management policy. Please modify your prompt and retry.",
                "code": "content_filter",
            }
        },
        RequestRefused,
    ),
    "a model that loads": (400, {"error": {"message": "Model x is loading"}}, RequestRefused),
    "what a model cannot": (
        400,
        {"error": {"message": "The model does not support image input"}},
        RequestRefused,
    ),
    "a parameter": (
        400,
        {"error": {"message": "Unsupported parameter: 'max_tokens' with this model."}},
        RequestRefused,
    ),
    "a file at a URL": (
        400,
        {
            "error": {
                "message": "Error while downloading https://cdn.example.com/img/out-of-credits.png.",
                "code": "invalid_image_url",
                "type": "invalid_request_error",
            }
        },
        RequestRefused,
    ),
    "a URL alone": (
        400,
        {"message": "Could not read https://x.test/a/billing-limit?q=payment_required"},
        RequestRefused,
    ),
    "a URL without a scheme": (
        400,
        {"message": "Could not read cdn.x.test/out-of-credits"},
        RequestRefused,
    ),
    "a file name": (400, {"message": "Cannot open out-of-credits.png"}, RequestRefused),
    "a field, pydantic": (
        422,
        {
            "detail": [
                {
                    "type": "extra_forbidden",
                    "loc": ["body", "daily_quota"],
                    "msg": "Extra inputs are not permitted",
                }
            ]
        },
        RequestRefused,
    ),
    "a field without a known type": (
        422,
        {"detail": [{"type": "x", "loc": ["body", "spending_limit"], "msg": "It is wrong"}]},
        RequestRefused,
    ),
    "a field with hyphens": (
        422,
        {"detail": [{"type": "x", "loc": ["body", "spending-limit"], "msg": "It is wrong"}]},
        RequestRefused,
    ),
    "a field, JSON Schema": (
        400,
        {"message": "Additional properties are not allowed (billing_limit was unexpected)"},
        RequestRefused,
    ),
    "a value": (400, {"message": "Invalid enum value: spending_limit"}, RequestRefused),
    "a field in a list": (400, {"message": "bad tools[0].usage_limit_exceeded"}, RequestRefused),
    "a field, Google": (
        400,
        google(
            "Unknown name daily_quota at 'tools[0]': Cannot find field.", "INVALID_ARGUMENT", 400
        ),
        RequestRefused,
    ),
    "a tool": (
        400,
        {
            "message": "tool `check_account` not found in tools; account disabled tools are not "
            "offered"
        },
        RequestRefused,
    ),
    "tools of an account": (
        400,
        {"message": "The account disabled tools are not offered"},
        RequestRefused,
    ),
    "a tool without quotes": (
        400,
        {"message": "Invalid function name buy_more_credits"},
        RequestRefused,
    ),
    "a format that the model has not": (
        400,
        {
            "message": "response_format json_schema is not supported: model 'gemma' json mode is "
            "not available"
        },
        RequestRefused,
    ),
    "an input that no endpoint takes": (
        404,
        {"error": {"message": "No endpoints found that support image input", "code": 404}},
        RequestRefused,
    ),
    "tools that no endpoint takes": (
        404,
        {"error": {"message": "No endpoints found that support tool use. See x.", "code": 404}},
        RequestRefused,
    ),
    "parameters that no endpoint takes": (
        404,
        {"message": "No endpoints found that can handle the requested parameters."},
        RequestRefused,
    ),
    "a schema": (
        400,
        {"message": "Invalid schema for function check: billing limit is no type"},
        RequestRefused,
    ),
    "too many at a time": (
        429,
        {"message": "Too many requests. Your account's concurrency quota is exhausted"},
        RateLimited,
    ),
    "a page that quotes": (400, f"<html><p>{BROKE}</p></html>".encode(), RequestRefused),
    "a page of a firewall": (403, b"<html>Sorry, you have been blocked</html>", ConfigError),
}


@pytest.mark.parametrize(("status_code", "body", "cls"), HARMLESS.values(), ids=HARMLESS)
def test_what_only_sounds_like_it_neither_pauses_nor_blames_the_set_up(
    status_code: int, body: Any, cls: type[ProviderError]
) -> None:
    assert type(error(status_code, body)) is cls


# -- the reader


WORDS = "Something is wrong"
ENVELOPES: dict[str, Any] = {
    "OpenAI": {"error": {"message": WORDS, "type": "t", "param": None, "code": "the_code"}},
    "a text": {"error": WORDS, "code": "the_code"},
    "a list": [{"error": {"message": WORDS, "code": "the_code"}}],
    "flat": {"code": "the_code", "message": WORDS, "request_id": "1"},
    "detail": {"detail": WORDS, "code": "the_code"},
    "detail, an object": {"detail": {"message": WORDS, "code": "the_code"}},
    "detail, an error": {"detail": {"error": {"message": WORDS, "code": "the_code"}}},
    "detail, a list": {"detail": [{"loc": ["body"], "msg": WORDS, "type": "the_code"}]},
    "errors": {"errors": [{"code": "the_code", "message": WORDS}], "success": False},
    "msg": {"success": False, "msg": WORDS, "code": "the_code"},
    "error_msg": {"error_msg": WORDS, "error_code": "the_code"},
    "errorMessage": {"errorMessage": WORDS, "errorCode": "the_code"},
    "Tencent": {"Response": {"Error": {"Code": "the_code", "Message": WORDS}, "RequestId": "1"}},
    "Apigee": {"fault": {"faultstring": WORDS, "detail": {"errorcode": "the_code"}}},
    "OAuth": {"error": "the_code", "error_description": WORDS, "code": "the_code"},
    "problem+json": {
        "type": "https://x.test/the_code",
        "title": "No",
        "detail": WORDS,
        "status": 400,
    },
    "Google": {"error": {"code": 400, "message": WORDS, "status": "the_code", "details": []}},
    "text in message": {"error": {"message": json.dumps({"message": WORDS, "code": "the_code"})}},
    "text in text": {
        "message": json.dumps(
            {"error": json.dumps({"error": {"message": WORDS, "code": "the_code"}})}
        )
    },
    "text behind words": {
        "message": f'Upstream: {{"error": {{"message": "{WORDS}", "code": "the_code"}}}}'
    },
    "as Python prints it": {
        "detail": f"Error: {{'error': {{'message': '{WORDS}', 'code': 'the_code'}}}}"
    },
    "bytes as Python prints them": {
        "message": f'E - b\'{{\\n "error": {{"message": "{WORDS}", "code": "the_code"}}}}\''
    },
    "an event": f'data: {{"error": {{"message": "{WORDS}", "code": "the_code"}}}}\n\n'.encode(),
}


@pytest.mark.parametrize("body", ENVELOPES.values(), ids=ENVELOPES)
def test_one_reader_finds_message_and_code_in_every_envelope(body: Any) -> None:
    got = error(400, body)
    assert type(got) is RequestRefused
    assert WORDS in got.message
    assert got.code == "the_code"
    assert WORDS in (got.body or "")
    assert isinstance(json.loads(got.body or "")["error"], dict | str)


@pytest.mark.parametrize(
    ("body", "delay_s"),
    [
        (google("no", "RESOURCE_EXHAUSTED", 429, retryDelay="17s"), 17),
        (google("no", "RESOURCE_EXHAUSTED", 429, retryDelay="0.5s"), 0.5),
        (google("no", "RESOURCE_EXHAUSTED", 429, retryDelay={"seconds": 9}), 9),
        ({"error": {"message": "no", "retry_after": 3}}, 3),
        ({"error": {"message": "no", "metadata": {"retry_after_ms": "250"}}}, 0.25),
        (envelope("Please try again in 6.5s."), 6.5),
        (envelope("Please try again in 250ms."), 0.25),
        (envelope("Please try again in 1m20.5s. Visit x"), 80.5),
        (envelope("try again in 7m12s"), 432),
        (envelope("Please retry after 20 seconds."), 20),
        (envelope("Please retry in 38.2s"), 38.2),
        (envelope("Please wait 10 seconds before"), 10),
        (envelope("Try again in 2 minutes"), 120),
        (envelope("retry after 2 hours"), 3600),
        (envelope("retry in 99999 days"), 3600),
        (envelope("retry later"), None),
        (envelope("No: 'try again in 5s'"), None),
        (envelope("Limit 30 s, used 20 s"), None),
        (envelope("no", retry_after="soon"), None),
        (envelope("no", retry_after=-5), None),
        (envelope("no", retry_after=True), None),
    ],
)
def test_the_wait_that_a_body_asks_for_is_read(body: Any, delay_s: float | None) -> None:
    assert error(429, body).retry_after_s == delay_s
    assert error(429, body, {"retry-after": "2"}).retry_after_s == 2


@pytest.mark.parametrize("status_code", [400, 500, 502])
def test_a_pace_that_hides_in_another_status_is_a_pace(status_code: int) -> None:
    assert type(error(status_code, envelope("slow", code=429))) is RateLimited
    assert error(status_code, envelope("slow", code=429)).status_code == status_code


@pytest.mark.parametrize(
    ("body", "cls"),
    [
        (envelope("no", type="unavailable_error", code=503), Overloaded),
        (envelope("no", type="service_unavailable_error"), Overloaded),
        (envelope("no", type="server_error", code="internal_server_error"), ServerError),
        (envelope("no", code=502), ServerError),
        (google("no", "INTERNAL", 500), ServerError),
        (google("no", "UNAVAILABLE", 503), Overloaded),
        (
            envelope(
                "upstream connect error or disconnect/reset before headers. reset reason: "
                "connection termination"
            ),
            ServerError,
        ),
        (b"upstream connect error or disconnect/reset before headers", ServerError),
        (envelope("Your input was flagged", code=500), RequestRefused),
        (envelope("Insufficient balance", type="server_error"), QuotaError),
    ],
)
def test_a_400_that_passes_on_an_error_of_the_server_is_retried(
    body: Any, cls: type[ProviderError]
) -> None:
    got = error(400, body)
    assert type(got) is cls
    assert got.status_code == 400


@pytest.mark.parametrize("status_code", [400, 422])
@pytest.mark.parametrize(
    ("fields", "kind", "answer"),
    [
        (
            {"code": "json_validate_failed", "failed_generation": '{"a": '},
            FailureKind.NOT_JSON,
            '{"a": ',
        ),
        ({"code": "json_validate_failed"}, FailureKind.NOT_JSON, None),
        ({"message": "Failed to call a function. Adjust it."}, FailureKind.NOT_JSON, None),
        ({"code": "x", "failed_generation": "hm"}, FailureKind.NOT_JSON, "hm"),
        (
            {"code": "tool_use_failed", "failed_generation": "<function=a>"},
            FailureKind.SCHEMA_VIOLATION,
            "<function=a>",
        ),
    ],
)
def test_an_answer_that_could_not_be_made_to_fit_is_an_answer_to_mend(
    status_code: int, fields: dict[str, Any], kind: FailureKind, answer: str | None
) -> None:
    fields = {"message": "Failed to generate JSON", **fields}
    got = read(status_code, {"error": fields})
    assert got.fault is not None
    assert (got.fault.kind, got.answer, got.status_code) == (kind, answer, status_code)
    assert fields["message"] in got.fault.message
    assert json.loads(got.body)["error"] == fields


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from("error message code type status detail details loc msg x".split()),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(value=any_json, status_code=st.sampled_from([200, 400, 403, 429, 500]))
def test_any_json_is_an_error_that_can_be_stored(value: Any, status_code: int) -> None:
    got = error_of(status_code, {}, json.dumps(value).encode())
    for text in (got.message, got.code or "", got.body or ""):
        text.encode()
        assert len(text.splitlines()) <= 1
    assert "error" in json.loads(got.body or "", parse_constant=pytest.fail)
    if isinstance(value, dict):
        assert type(error_of(status_code, {}, json.dumps([value]).encode())) is type(got)


@given(st.text(alphabet="'\"`:x {}[]prompt", max_size=300))
def test_no_text_takes_long_to_read(text: str) -> None:
    assert len(own_words(text)) <= len(text) + text.count("'") + text.count('"') + text.count("`")


@pytest.mark.parametrize(
    "text",
    [
        '{"error":' * 500,
        "{'error':" * 500,
        "model " * 800,
        "'a " * 1500,
        "<" * 4000,
        "<script" * 600,
        "a." * 2000,
        "a-a." * 1000,
        "a_b " * 1000,
        "x://" * 1000,
    ],
)
def test_a_hostile_text_is_read_in_no_time(text: str) -> None:
    for raw in (text.encode(), envelope(text)):
        assert isinstance(error_of(400, {}, raw), ProviderError)


def test_every_row_of_the_table_can_be_reached() -> None:
    for row in ROWS:
        status = row.statuses[0][0] if row.statuses else 400
        said = [Said(status, codes=(plain_code(code.replace("*", "x")),)) for code in row.codes]
        said += [
            Said(status, words=(words := f"oh, {phrase.replace('…', 'x y')}!"), all_words=words)
            for phrase in row.words
        ]
        said = said or [Said(status, is_json=not row.unless_json)]
        for one in said:
            assert row_of(one).means is row.means, (row.source, one)
