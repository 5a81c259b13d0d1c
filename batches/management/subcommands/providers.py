"""`batches providers`: the configured providers and their state."""

from collections.abc import Iterator
from typing import Any, TextIO

from django.db.models import Count, Q, QuerySet

from batches.lifecycle import BatchStatus
from batches.management.subcommands.subcommand import Options, Subcommand
from batches.management.subcommands.tables import write_json, write_table
from batches.models import Provider
from batches.providers.answers import last_answer, state_of, with_last_answer

COLUMNS = ("NAME", "STATUS", ">IN PROGRESS", "LIMITS", "KEY", "BASE URL", "REASON")


def run(options: Options, out: TextIO) -> None:
    """Write all providers, in one query."""
    found = list(_providers())
    if options["json"]:
        write_json(out, [_object_of(provider) for provider in found])
    elif found:
        write_table(out, COLUMNS, map(_row_of, found))
    else:
        out.write("There are no providers yet; add one in the admin, or use --base-url.\n")


def _providers() -> QuerySet[Provider]:
    running = Q(batches__status=BatchStatus.IN_PROGRESS, batches__deleted_at=None)
    counted = Provider.objects.annotate(in_progress=Count("batches", filter=running))
    return with_last_answer(counted).order_by("name")


def _row_of(provider: Provider) -> tuple[str, ...]:
    return (
        provider.name + (" (default)" if provider.is_default else ""),
        state_of(provider),
        f"{vars(provider)['in_progress']:,}",
        ", ".join(_limits(provider)) or "automatic",
        _key(provider),
        provider.base_url,
        provider.pause_reason,
    )


def _object_of(provider: Provider) -> dict[str, Any]:
    answered = last_answer(provider)
    return {
        "name": provider.name,
        "base_url": provider.base_url,
        "status": state_of(provider),
        "reason": provider.pause_reason,
        "answered_at": answered.isoformat(timespec="seconds") if answered else None,
        "is_default": provider.is_default,
        "key": _key(provider),
        "models": provider.model_names,
        "prices": provider.prices,
        "requests_per_minute": provider.requests_per_minute,
        "tokens_per_minute": provider.tokens_per_minute,
        "max_in_flight": provider.max_in_flight,
        "batches_in_progress": vars(provider)["in_progress"],
    }


def _limits(provider: Provider) -> Iterator[str]:
    for limit, unit in (
        (provider.requests_per_minute, "requests/min"),
        (provider.tokens_per_minute, "tokens/min"),
        (provider.max_in_flight, "at once"),
    ):
        if limit is not None:
            yield f"{limit:,} {unit}"


def _key(provider: Provider) -> str:
    """Return where the key comes from, never the key."""
    if provider.api_key_encrypted:
        return "stored"
    return f"${provider.api_key_env}" if provider.api_key_env else "none"


PROVIDERS = Subcommand(run, ("", "--json"))
