"""Decide if and when a failed call is retried. Pure: the caller passes time and randomness."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from batches.engine.errors import Decision, ProviderError
from batches.engine.liveness import Patience

MAX_RETRY_AFTER_S = 3600.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits and delays of retries; times in seconds.

    `max_attempts` counts calls that may have cost something. A 429 costs no attempt: it is retried
    until the prompt has waited `max_wait_s` in total. `patience` says how long to wait for a target
    that answers nothing, which costs no prompt an attempt.
    """

    max_attempts: int = 5
    base_s: float = 0.5
    cap_s: float = 60.0
    max_wait_s: float = 86_400.0
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision after an error; `delay_s` is the delay before a retry."""

    decision: Decision
    delay_s: float = 0.0


def decide(
    error: ProviderError,
    *,
    attempts: int,
    retries: int,
    waited_s: float,
    policy: RetryPolicy,
    chance: float,
) -> Verdict:
    """Return the verdict on an error; `attempts` and `retries` include the call that failed.

    The delay has full jitter: `chance` of min(cap, base * 2^n) for the n-th retry
    (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/). If the provider
    sent a Retry-After, the delay is that time plus up to `base_s`.
    """
    if error.decision is not Decision.RETRY:
        return Verdict(error.decision)
    if error.costs_attempt and attempts >= policy.max_attempts:
        return Verdict(Decision.FINAL)
    # Rate-limit refusals must not lengthen the back-off for a server that fails.
    failures = attempts if error.costs_attempt and attempts else retries
    exponent = 0 if error.retry_after_s else min(failures - 1, 32)
    backoff = chance * min(policy.cap_s, policy.base_s * 2**exponent)
    delay = (error.retry_after_s or 0.0) + backoff
    if waited_s + delay > policy.max_wait_s:
        return Verdict(Decision.FINAL)
    return Verdict(Decision.RETRY, delay)


def retry_after_s(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Return the wait that a provider asks for, in seconds, at most an hour.

    Read `retry-after-ms`, or `retry-after` as seconds or a date (RFC 9110, 10.2.3). Return None if
    the header is absent, negative or not a number.
    """
    for name, parse in (("retry-after-ms", _milliseconds), ("retry-after", _seconds)):
        seconds = parse(headers[name]) if name in headers else None
        if seconds is None and name == "retry-after" and name in headers:
            seconds = _until(headers[name], now or datetime.now(UTC))
        if seconds is not None and seconds >= 0:
            return min(seconds, MAX_RETRY_AFTER_S)
    return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) else None


def _milliseconds(text: str) -> float | None:
    milliseconds = _seconds(text)
    return None if milliseconds is None else milliseconds / 1000


def _until(text: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
