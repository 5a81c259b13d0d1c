"""The stores of rate limits: Redis, if there is one, else this process."""

from pathlib import Path

from batches.limits.rate_limits import LocalLimits, RateLimits, prefix_of


def limits_at(url: str) -> RateLimits:
    """Return limits in the Redis at a URL in Celery's format, else limits of this process."""
    address = _redis_address(url)
    if not address:
        return LocalLimits()
    from batches.limits.redis_limits import RedisLimits  # noqa: PLC0415 - takes long

    return RedisLimits(address)


def forget_limits(url: str, provider: str) -> None:
    """Forget the learned limits of a provider, in this process and in the Redis at the URL.

    Raise OSError if Redis is unavailable.
    """
    LocalLimits.forget(prefix_of(provider))
    address = _redis_address(url)
    if address:
        from batches.limits.redis_limits import forget_states  # noqa: PLC0415 - takes long

        forget_states(address, prefix_of(provider))


def _redis_address(url: str) -> str:
    scheme, _, rest = url.partition("://")
    if scheme in {"redis+socket", "unix"}:
        # The embedded broker, which may not be running.
        return f"unix://{rest}" if Path(rest.partition("?")[0]).exists() else ""
    return url if scheme in {"redis", "rediss"} else ""
