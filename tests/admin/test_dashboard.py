"""The first page: what runs, who works, how much of the limits is used."""

import time
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batches.admin.batches.timing import Timing
from batches.admin.providers.state import SHOWN, provider_states
from batches.models import Batch, Provider, Worker
from batches.workers.hours import record_hours
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch
from tests.makers import batch_of


def page(client: Client) -> str:
    return client.get(reverse("admin:index")).content.decode()


def test_it_is_said_that_no_worker_runs(root: Client, provider: Provider) -> None:
    assert "No workers are running. Start a worker." in page(root)
    batch_of(provider, ["a"])
    assert "No workers are running, and 1 batch is waiting. Start a worker." in page(root)
    Worker.objects.create(name="celery@here", process="here:1")
    assert "No workers are running" not in page(root)
    assert "idle</span> celery@here" in page(root)
    Worker.objects.update(seen_at=timezone.now() - timedelta(hours=2))
    assert "silent</span> celery@here" in page(root)
    assert "last heartbeat 2 h ago" in page(root)
    assert "No workers are running" in page(root)


def test_the_use_of_limits_that_were_told_is_shown(provider: Provider) -> None:
    provider.requests_per_minute, provider.tokens_per_minute = 600, 90_000
    provider.max_in_flight = 20
    provider.save()
    batch = batch_of(provider, 100)
    # Two calls for each prompt, of half a second each.
    batch.succeeded, batch.calls, batch.busy_s = 10, 20, 10.0
    batch.input_tokens, batch.output_tokens = 1000, 500
    (state,) = provider_states([(batch, Timing(now_per_s=4.0))])
    assert [(round(use.used), use.limit, use.of_what) for use in state.uses] == [
        (480, 600, "requests per minute"),
        (36_000, 90_000, "tokens per minute"),
        (4, 20, "calls at once"),
    ]


def test_a_provider_that_nobody_uses_uses_nothing(root: Client, provider: Provider) -> None:
    Provider.objects.update(requests_per_minute=600)
    assert "0 of 600 requests per minute" in page(root)


def test_more_providers_than_are_shown_are_told_of(root: Client, provider: Provider) -> None:
    assert "All 1 providers" not in page(root)
    for number in range(SHOWN):
        Provider.objects.create(name=f"p{number}", base_url="http://localhost")
    assert f"All {SHOWN + 1} providers" in page(root)


# -- batches


def rows(client: Client) -> list[tuple[str, str]]:
    """The names and states of the batches in the table."""
    found = client.get(reverse("admin:index")).context["dashboard"].recent
    return [(one.batch.title, one.state.word) for one in found]


def test_an_empty_dashboard_leads_to_the_next_step(root: Client, db: None) -> None:
    assert "There are no batches yet." in page(root)
    assert f'href="{reverse("admin:batches_provider_add")}">Add a provider' in page(root)
    Provider.objects.create(name="p", base_url="http://localhost")
    assert f'href="{reverse("admin:batches_batch_add")}">Start the first one' in page(root)


def test_an_idle_dashboard_shows_the_latest_batches(root: Client, provider: Provider) -> None:
    made = [ended_batch(provider, ["a"]) for _ in range(10)]
    names = [batch.title for batch in reversed(made)]
    assert rows(root) == [(name, "completed") for name in names[:8]]
    going_on = batch_of(provider, ["a"])
    assert rows(root)[0] == (going_on.title, "waiting")
    assert rows(root)[1:] == [(name, "completed") for name in names[:7]]


def test_only_what_makes_progress_counts_as_running(root: Client, provider: Provider) -> None:
    paused, stopped, waiting, running = (batch_of(provider, ["a"]) for _ in range(4))
    Batch.objects.filter(pk=paused.pk).update(pause_reason="budget", pause_kind="budget")
    Batch.objects.filter(pk=stopped.pk).update(in_background=False)
    running.slots.update(lease_expires_at=timezone.now() + timedelta(hours=1))
    shown = root.get(reverse("admin:index")).context["dashboard"]
    assert shown.running == 1
    assert shown.others == [("paused", 1), ("stopped", 1), ("waiting", 1)]
    assert [one.state.word for one in shown.recent] == ["paused", "stopped", "waiting", "running"]
    assert waiting.pk
    text = page(root)
    for part in ("1 paused", "1 stopped", "1 waiting"):
        assert part in text


def test_a_batch_that_pauses_has_no_throughput_and_no_time_left(
    root: Client, provider: Provider
) -> None:
    batch = ended_batch(provider, ["a", "b"])
    Batch.objects.filter(pk=batch.pk).update(status="in_progress", total=4)
    before = root.get(reverse("admin:index")).context["dashboard"]
    assert before.per_s > 0
    assert before.recent[0].timing.left_s
    Provider.objects.update(pause_reason="HTTP 401", pause_kind="auth")
    after = root.get(reverse("admin:index")).context["dashboard"]
    assert (after.per_s, after.recent[0].timing.left_s) == (0, None)


# -- activity


def test_the_charts_show_the_last_day_or_week(root: Client, provider: Provider) -> None:
    now = time.time()
    for hours_ago, succeeded, failed, cost in (
        (0, 6, 2, "1.50"),
        (30, 5, 0, "2"),
        (24 * 9, 9, 9, "9"),
    ):
        batch = batch_of(provider, 20)
        Batch.objects.filter(pk=batch.pk).update(
            active_until=now - hours_ago * 3600, succeeded=succeeded, failed=failed, cost=cost
        )
    record_hours()
    day, week = (
        [
            chart.summary
            for chart in root.get(f"/admin/?period={period}").context["dashboard"].charts
        ]
        for period in ("day", "week")
    )
    assert day == [
        "8 in the last day, up to 8 an hour",
        "2 in the last day, up to 2 an hour",
        "$1.50 in the last day, up to $1.50 an hour",
    ]
    assert week == [
        "13 in the last week, up to 8 in 6 hours",
        "2 in the last week, up to 2 in 6 hours",
        "$3.50 in the last week, up to $2.00 in 6 hours",
    ]
    assert "Last week</a>" in page(root)


@pytest.mark.parametrize("period", ["", "nonsense", "day"])
def test_without_activity_the_charts_say_so(root: Client, period: str) -> None:
    text = root.get(f"/admin/?period={period}").content.decode()
    assert "0 in the last day" in text


# -- providers


def test_the_health_of_providers_is_shown(root: Client, provider: Provider) -> None:
    assert "not tried" in page(root)
    batch = batch_of(provider, 20)
    Batch.objects.filter(pk=batch.pk).update(active_until=1_790_000_000.0, succeeded=3, failed=1)
    assert "last answer <time>2026-09-21 14:13:20 UTC</time>" in page(root)
    Batch.objects.filter(pk=batch.pk).update(active_until=time.time())
    record_hours()
    assert "25 % failed in the last day" in page(root)
    assert "answering" in page(root)


def test_a_learned_limit_is_shown_with_its_source_and_can_be_forgotten(
    root: Client, login: Login, provider: Provider
) -> None:
    told = {"requests": {"limit": 500.0, "remaining": 400.0}}
    Provider.objects.update(announced_limits={"m": told}, max_in_flight=7)
    text = page(root)
    assert "400 of 500 requests left, advertised" in text
    assert "of 7 calls at once, set by staff" in text
    assert ">Forget</button>" not in text
    Provider.objects.update(announced_limits={"m": {"requests": {"learned_per_minute": 258.0}}})
    assert "limited to 258 requests per minute, learned from 429s" in page(root)
    assert ">Forget</button>" in page(root)
    assert ">Forget</button>" not in page(login("view_batch", "view_provider"))
    root.post(reverse("admin:batches_provider_forget_limits", args=[provider.pk]))
    assert "learned from 429s" not in page(root)
