"""The error table: the error class for a status, a code or a phrase, read from the top.

The first row that matches decides. Codes come first, since they cannot come from the prompt; then
the provider's words; then statuses. `docs/errors.md` shows this table.
"""

from functools import lru_cache

from batches.engine.errors import (
    AccessRefused,
    AnswerUnfit,
    AuthError,
    ConfigError,
    MalformedReply,
    Overloaded,
    QuotaError,
    RateLimited,
    RequestRefused,
    ServerError,
)
from batches.engine.replies.error_rows import ErrorRow, Said, plain_code, split

# The error is inside a reply with a successful status.
IN_A_200 = (200, 299)
REFUSED = (400, 499)

ROWS: tuple[ErrorRow, ...] = (
    # -- codes that mean the same with any status
    ErrorRow(
        AnswerUnfit,
        "Groq, Cerebras: the answer that was generated does not fit",
        codes=split(
            """
            failed_generation; json_validate_failed; tool_use_failed; output_parse_failed
            """
        ),
        words=split(
            """
            failed to generate json; failed to validate json; failed to call a function; generated
            … invalid json; generated … invalid tool call
            """
        ),
        statuses=(IN_A_200, (400, 400), (422, 422)),
    ),
    ErrorRow(
        RequestRefused,
        "OpenAI, Azure, DashScope, Zhipu, Volcengine, MiniMax: content refused or too long",
        codes=split(
            """
            content_policy_violation; content_filter*; ResponsibleAIPolicyViolation; moderation*;
            data_inspection_failed; *SensitiveContentDetected*; prohibited_content; 1301;
            base_resp.1026; base_resp.1027;
            context_length_exceeded; string_above_max_length; request_too_large
            """
        ),
    ),
    ErrorRow(
        RequestRefused,
        "OpenAI, Azure, FastAPI: a field of the request is wrong",
        codes=split(
            """
            invalid_image*; image_parse_error; unsupported_image*; failed_to_download_image;
            invalid_base64*; invalid_function_parameters; invalid_json_schema; invalid_tool*;
            invalid_value; invalid_type; unknown_parameter; unsupported_parameter;
            unsupported_value; missing_required_parameter; extra_forbidden; value_error.extra;
            literal_error; enum; *_parsing; *_type; *_above_max_value; *_below_min_value;
            *_above_max_length; *_below_min_length; less_than*; greater_than*; too_long; too_short
            """
        ),
        statuses=((400, 400), (422, 422)),
    ),
    ErrorRow(
        QuotaError,
        "OpenAI, Anthropic",
        codes=split(
            """
            insufficient_quota; billing_error; billing_not_active; billing_hard_limit_reached;
            credit_balance_exhausted; enforced_spend_limit_reached;
            organization_spend_limit_exceeded; organization_usage_limit_exceeded;
            project_spend_limit_exceeded
            """
        ),
    ),
    ErrorRow(
        QuotaError,
        "Moonshot, DashScope, Volcengine, Zhipu, MiniMax, SiliconFlow, Tencent, Novita",
        codes=split(
            """
            exceeded_current_quota_error; Arrearage; PrepaidBillOverdue; PostpaidBillOverdue;
            CommodityNotPurchased; AllocationQuota.FreeTierOnly; AccountOverdueError;
            ServiceOverdue; SetLimitExceeded; 1113; 1304; 1308; 1309; 1310; base_resp.1008;
            base_resp.2056; 30001; *ResourcePackExhausted; ResourceUnavailable.InArrears;
            ResourceInsufficient.ChargeResourceExhaust; not_enough_balance
            """
        ),
    ),
    ErrorRow(
        QuotaError,
        "gateways (OpenRouter, LiteLLM, one-api, Vercel, Venice), Google",
        codes=split(
            """
            insufficient_balance*; insufficient_credit*; insufficient_funds;
            insufficient_user_quota; pre_consume_token_quota_failed; payment_required;
            budget_exceeded; credits_exhausted; credit_limit_exceeded; out_of_credits;
            account_suspended; BILLING_DISABLED; dailyLimitExceeded; INVALID_PAYMENT_INSTRUMENT;
            *PerDay*
            """
        ),
    ),
    ErrorRow(
        AuthError,
        "OpenAI, Anthropic, Google, DashScope, Moonshot, MiniMax, Tencent, AWS, LiteLLM",
        codes=split(
            """
            invalid_api_key*; incorrect_api_key*; api_key_invalid; API_KEY_*; missing_api_key;
            no_api_key; expired_api_key; invalid_key; expired_key; authentication_error;
            authentication_failed; invalid_authentication*; unauthenticated; unauthorized*;
            auth_error; token_expired; token_not_found_in_db; ACCESS_TOKEN_*; CREDENTIALS_MISSING;
            account_deactivated; AuthFailure*; base_resp.1004; base_resp.2049; UnrecognizedClient;
            ExpiredToken; InvalidSignature; IncompleteSignature; MissingAuthenticationToken
            """
        ),
    ),
    ErrorRow(
        ConfigError,
        "OpenAI, Azure, Groq, Volcengine, Zhipu, SiliconFlow, DashScope, vLLM, LiteLLM",
        codes=split(
            """
            model_not_found*; model_not_exist; model_does_not_exist; model_decommissioned;
            model_not_active; model_not_available; model_not_supported; model_terms_required;
            model_permission_blocked*; ModelNotOpen; InvalidEndpointOrModel*; DeploymentNotFound;
            invalid_model*; unknown_model; unsupported_model; key_model_access_denied;
            team_model_access_denied; 1211; 20012
            """
        ),
    ),
    ErrorRow(
        RateLimited,
        "OpenAI, Anthropic, Azure, DashScope, Volcengine, Tencent, MiniMax, Google, AWS",
        codes=split(
            """
            rate_limit_exceeded*; rate_limit_error; rate_limit_reached*; rate_limited; rate_limit;
            user_rate_limit_exceeded; too_many_requests; throttling*; RequestLimitExceeded*;
            RequestBurstTooFast; InflightBatchsizeExceeded; base_resp.1002; base_resp.1039;
            base_resp.1041; 3505
            """
        ),
        statuses=(IN_A_200, (400, 400), (403, 403), (500, 599)),
    ),
    # -- rate limits in words, which may mention a quota too
    ErrorRow(
        RequestRefused,
        "OpenAI: more tokens than a minute has",
        words=("request too large",),
        statuses=((429, 429),),
    ),
    ErrorRow(
        RateLimited,
        "Google, DashScope, Cohere, Azure: a quota for each minute or second",
        codes=("*PerMinute*", "*PerSecond*"),
        words=split(
            """
            per minute; per min; / minute; /minute; per second; / second; allocated quota
            exceeded; qps request limit; requests per day; tokens per day; retry in; retry after;
            try again in; concurrency; concurrent; 并发; 每分钟; 请求过于频繁
            """
        ),
        statuses=((429, 429),),
        in_quotes=True,
    ),
    # -- words: first the phrases that blame the prompt
    ErrorRow(
        RequestRefused,
        "OpenAI, OpenRouter, Azure: the content is refused",
        words=split(
            """
            flagged; content policy; content filter; content management policy; moderation;
            safety; usage policies
            """
        ),
        statuses=((400, 400), (403, 403), (422, 422)),
    ),
    ErrorRow(
        RequestRefused,
        "OpenAI, Google, JSON Schema, pydantic, OpenRouter: what the request asks for",
        words=split(
            """
            error while downloading; failed to download; unable to download; extra inputs; extra
            fields; additional properties; unknown name; cannot find field; unknown parameter;
            unsupported parameter; unrecognized request argument; unexpected keyword; unknown field;
            invalid enum value; not found in tools; tool … not found; json
            mode; json schema is not; structured output; function calling; tool calling; tool use;
            no endpoints found that support; no endpoints found that can handle; support image;
            support vision; invalid schema for
            """
        ),
        statuses=((400, 400), (404, 404), (422, 422)),
    ),
    ErrorRow(
        QuotaError,
        "OpenAI, Moonshot, DeepSeek, SiliconFlow, Zhipu, OpenRouter, one-api",
        words=split(
            """
            exceeded your current quota; exceeded your monthly; insufficient balance; insufficient
            account balance; insufficient user quota; insufficient quota; insufficient credit;
            insufficient funds; insufficient token quota; balance is insufficient; balance … not
            enough; not enough credit; not enough balance; not have enough credit; not have enough
            balance; balance is too low; negative balance; outstanding balance; out of quota; out
            of funds; quota … exhausted; quota … used up; monthly quota; daily quota; please
            recharge; top up your; please top up; add more credits; buy more credits; purchase
            more credits; balance not sufficient; balance … too low; calls … used up; no remaining
            balance; no remaining quota; no balance left; not enough quota; prepaid … used up;
            prepaid … exhausted; 余额不足; 额度不足; 配额不足; 预扣费额度失败;
            额度已用尽; 额度已用完; 欠费
            """
        ),
    ),
    ErrorRow(
        QuotaError,
        "Anthropic, xAI, Fireworks, DashScope, Volcengine, Baidu, Azure, Cohere, Cloudflare, AWS",
        words=split(
            """
            credit balance is too low; specified api usage limits; spend limit; spending limit;
            all available credits; have any credits; out of credits; run out of credit; no credits
            left; no credits remaining; no credits available; no remaining credit; credits …
            exhausted; credits … expired; credits … used up; credits … depleted; included credits;
            credit limit … reached; credit limit … exceeded; billing hard limit; billing limit;
            spending cap; spend cap; usage limit reached; usage limit exceeded; usage limit … been
            reached; usage limit … been exceeded; your usage limit; subscription … expired;
            subscription … not active; trial … expired; trial … ended; account … is suspended;
            account … been suspended; account … overdue; overdue balance; overdue payment; overdue
            bill; in arrears; account is in good standing; account is not in good standing;
            account is not active, please check your billing; unpaid invoice; past due; payment
            required; payment method; payment failed; billing period; billing cycle; free tier
            limit; requires billing to be enabled; billing … not active; billing … disabled; free
            tier … exhausted; free trial quota; free quota; api calls / month; call volume; daily
            request limit reached; total request limit reached; daily free allocation;
            free-models-per-day; key limit exceeded; budget has been exceeded; budget exceeded;
            exceeded budget; invalid_payment_instrument
            """
        ),
    ),
    ErrorRow(
        QuotaError,
        "Azure, Volcengine, GitHub, StepFun",
        codes=("quota_exceeded*", "exceeded_quota", "quota_exhausted"),
        statuses=(REFUSED,),
    ),
    ErrorRow(
        AuthError,
        "Google, OpenAI, Anthropic, LiteLLM, one-api, vLLM, FastAPI",
        words=split(
            """
            api key not valid; api key not found; api key expired; api key is invalid; api key …
            is invalid; api key … is not valid; api key … has expired; api key … expired; api key
            … been revoked; api key … incorrect; api key … disabled; api key … not exist; invalid
            api key; invalid x-api-key; incorrect api key; wrong api key; missing api key; no api
            key; invalid authentication; invalid bearer token; invalid access token; invalid auth
            token; invalid credentials; could not validate credentials; no auth credentials;
            authentication failed; missing authentication; missing authorization; authorization
            header is missing; security token … is invalid; account … deactivated; account …
            is disabled; account … was disabled; account … been disabled; account disabled by;
            authentication credentials were not provided; organization has been
            disabled; 无效的令牌; 令牌已过期
            """
        ),
        statuses=(IN_A_200, (400, 400), (403, 404), (407, 407), (422, 422), (500, 500)),
    ),
    ErrorRow(
        ConfigError,
        "OpenAI, Google, Mistral, OpenRouter, Ollama, LiteLLM, Azure, Together, vLLM",
        words=split(
            """
            model … does not exist; model … not exist; model … not found; models … not found;
            model … is not available; model … is not supported; model … has been deprecated; model
            … has been decommissioned; model … been retired; no such model; unknown model; invalid
            model; unsupported model; not a valid model; not a supported model; model identifier
            is invalid; model id is invalid; verified to use the model; access to model; access to
            the model; access to the requested model; unable to access model; unable to access
            non-serverless model; no endpoints found; no allowed providers; deployment … does not
            exist; deployment … not found; try pulling it first; 模型不存在
            """
        ),
        statuses=(IN_A_200, (400, 401), (403, 404), (422, 422), (500, 500)),
    ),
    ErrorRow(
        RateLimited,
        "Baidu, gateways",
        words=split(
            """
            too many requests; rate limit exceeded; rate limit reached; qps request limit; request
            limit reached
            """
        ),
        statuses=(IN_A_200, (400, 400), (403, 403), (500, 502)),
    ),
    # -- errors inside a reply with another status, by a code or in words
    ErrorRow(
        Overloaded,
        "Anthropic, OpenAI, Zhipu",
        codes=split(
            """
            overloaded*; engine_overloaded*; ServerOverloaded; unavailable;
            service_unavailable*; 503; 529; 1305
            """
        ),
        statuses=(IN_A_200, (400, 400)),
    ),
    ErrorRow(
        ServerError,
        "Google, OpenAI, llama.cpp, Envoy: a gateway passes an error of the server on as a 400",
        codes=split(
            """
            internal; internal_server_error; server_error; internal_error; bad_gateway;
            gateway_timeout; 500; 502; 504; 520; 522; 524
            """
        ),
        words=split(
            """
            upstream connect error; disconnect/reset before headers; connection termination;
            upstream request timeout; internal server error; bad gateway; gateway timeout; service
            unavailable; service is temporarily unavailable
            """
        ),
        statuses=((400, 400),),
    ),
    ErrorRow(
        RateLimited,
        "Google, Zhipu",
        codes=("RESOURCE_EXHAUSTED", "1302", "1303"),
        statuses=(IN_A_200,),
    ),
    ErrorRow(
        AccessRefused,
        "Anthropic, Google",
        codes=("permission*",),
        statuses=(IN_A_200,),
    ),
    ErrorRow(
        ConfigError,
        "Anthropic, Moonshot, Google",
        codes=("not_found*", "resource_not_found*"),
        statuses=(IN_A_200,),
    ),
    ErrorRow(
        RequestRefused,
        "OpenAI, Anthropic, Google",
        codes=split(
            """
            invalid*; bad_request*; image*; unsupported*; failed_to_download_image;
            empty_image_file; base_resp.2013
            """
        ),
        statuses=(IN_A_200,),
    ),
    # -- statuses
    ErrorRow(
        MalformedReply,
        "RFC 9110",
        statuses=((204, 205),),
    ),
    ErrorRow(
        ServerError,
        "an error without a status inside a 200",
        statuses=(IN_A_200,),
    ),
    ErrorRow(
        ConfigError,
        "RFC 9110: a redirect",
        statuses=((300, 399),),
    ),
    ErrorRow(
        AuthError,
        "RFC 9110",
        statuses=((401, 401), (407, 407)),
    ),
    ErrorRow(
        QuotaError,
        "RFC 9110",
        statuses=((402, 402),),
    ),
    ErrorRow(
        ConfigError,
        "a web page from what stands before the provider",
        statuses=((403, 403),),
        unless_json=True,
    ),
    ErrorRow(
        AccessRefused,
        "RFC 9110",
        statuses=((403, 403),),
    ),
    ErrorRow(
        ConfigError,
        "RFC 9110: the path is unknown, takes no POST, or is gone",
        statuses=((404, 405), (410, 410), (501, 501)),
    ),
    ErrorRow(
        ServerError,
        "RFC 9110, nginx (444, 499), AWS (460): the same request may pass later",
        statuses=((408, 409), (421, 421), (423, 425), (444, 444), (460, 460), (499, 499)),
    ),
    ErrorRow(
        RateLimited,
        "RFC 6585",
        statuses=((420, 420), (429, 429)),
    ),
    ErrorRow(
        Overloaded,
        "Groq (498), cPanel (509), Anthropic (529)",
        statuses=((498, 498), (503, 503), (509, 509), (529, 529)),
    ),
    ErrorRow(
        RequestRefused,
        "RFC 9110",
        statuses=((100, 199), REFUSED),
    ),
    ErrorRow(
        ServerError,
        "RFC 9110, Cloudflare (520-530)",
        statuses=((500, 999),),
    ),
)


# Errors whose codes have the same meaning inside a sentence.
_NAMED = (QuotaError, AuthError, ConfigError, RateLimited)


@lru_cache(1024)
def names_a_fault(word: str) -> bool:
    """Return True if a word is a known code for an account, a key, a model or a rate limit."""
    said = Said(400, (plain_code(word),))
    # A word with hyphens is more likely the name of a file or a model.
    return "-" not in word and any(
        row.codes and row.means in _NAMED and row.has_code_of(said) for row in ROWS
    )


def row_of(said: Said) -> ErrorRow:
    """Return the row that decides on an error."""
    return next((row for row in ROWS if row.matches(said)), ROWS[-1])
