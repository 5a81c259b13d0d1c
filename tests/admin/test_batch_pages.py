"""The page of a batch shows it in whatever state it is, and asks for itself while it runs."""

import re
from datetime import timedelta
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from batches.admin.batches.results.result_views import NO_KIND
from batches.admin.batches.rungs import rungs_of
from batches.ending.report import make_report
from batches.lifecycle import TERMINAL, BatchStatus
from batches.models import Batch, Provider, Result, Slot
from tests.admin.conftest import Login
from tests.admin.makers import ended_batch
from tests.makers import batch_of


def shown(client: Client, batch: Batch, name: str = "change") -> str:
    answer = client.get(reverse(f"admin:batches_batch_{name}", args=[batch.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


@pytest.mark.parametrize("status", BatchStatus)
def test_a_page_is_refreshed_until_the_batch_has_ended(
    root: Client, provider: Provider, status: BatchStatus
) -> None:
    batch = ended_batch(provider, ["a", "b"], failed={1: "why"})
    Batch.objects.filter(pk=batch.pk).update(status=status)
    assert ("every 2s" in shown(root, batch)) == (status not in TERMINAL)
    assert ("every 2s" in shown(root, batch, "live")) == (status not in TERMINAL)


def test_nothing_done_yet_is_shown_too(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    assert "No results yet." in shown(root, batch)
    Batch.objects.filter(pk=batch.pk).update(status=BatchStatus.VALIDATING, total=0)
    assert "validating" in shown(root, batch)


def test_a_refused_input_is_told_by_line(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    error = {"line": 7, "code": "x", "message": "a line is a JSON object", "param": None}
    Batch.objects.filter(pk=batch.pk).update(status=BatchStatus.FAILED, errors=[error])
    assert "line 7: a line is a JSON object" in shown(root, batch)


def test_failures_are_grouped_with_examples(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b", "c"], failed={0: "no room", 2: "no room either"})
    page = shown(root, batch)
    assert "2 prompts" in page
    assert "no room either" in page
    assert "Provider server error." in page


def test_answers_are_counted_by_rung(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a", "b", "c"])
    assert "Schema results" not in shown(root, batch)
    Result.objects.filter(batch=batch).update(rung="parsed")
    Result.objects.filter(batch=batch, index=2).update(rung="asked_again")
    Batch.objects.filter(pk=batch.pk).update(status=BatchStatus.IN_PROGRESS)
    counts = [("parsed", 2), ("extracted", 0), ("repaired", 0), ("asked_again", 1)]
    found = rungs_of(batch).counts
    assert [(one.rung, one.count) for one in found] == counts
    assert "<strong>re-asked</strong> 1" in shown(root, batch, "live")
    report = make_report(batch).as_dict()
    Batch.objects.filter(pk=batch.pk).update(status=BatchStatus.COMPLETED, report=report)
    batch.refresh_from_db()
    assert rungs_of(batch).counts == found
    assert "<strong>parsed</strong> 2" in shown(root, batch)


def test_why_a_batch_waits_is_said(root: Client, provider: Provider) -> None:
    batch = batch_of(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(pause_reason="spending limit of $1 reached")
    Provider.objects.update(pause_reason="auth: HTTP 401")
    page = shown(root, batch)
    assert "spending limit of $1 reached" in page
    assert "auth: HTTP 401" in page
    assert "Resume" in page


def test_a_deleted_batch_is_gone(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(deleted_at=batch.created_at)
    for name in ("live", "results", "csv"):
        address = reverse(f"admin:batches_batch_{name}", args=[batch.pk])
        assert root.get(address).status_code == 404


@pytest.mark.parametrize("number", ["²", "9" * 5000, "9" * 19, "9" * 18, "-1", "x"])
def test_numbers_that_name_no_row_are_no_fault_of_the_server(
    root: Client, provider: Provider, number: str
) -> None:
    batch = ended_batch(provider, ["a"])
    changelist, results, compare = (
        reverse("admin:batches_batch_changelist"),
        reverse("admin:batches_batch_results", args=[batch.pk]),
        reverse("admin:batches_batch_compare"),
    )
    for page in (f"{changelist}{number}/change/", f"{changelist}{number}/live/"):
        assert root.get(page, follow=True).status_code == 404
    assert root.get(f"{results}{number}/", follow=True).status_code == 404
    assert root.get(results, {"after": number}).status_code == 200
    assert root.get(compare, {"ids": f"{number},{batch.pk}"}).status_code in {200, 404}


def test_batches_are_compared(root: Client, provider: Provider) -> None:
    first, second = ended_batch(provider, ["a"]), ended_batch(provider, ["a", "b"])
    address = reverse("admin:batches_batch_changelist")
    chosen = {"action": "compare", "_selected_action": [first.pk, second.pk]}
    page = root.post(address, chosen, follow=True).content.decode()
    assert first.public_id[:14] in page
    assert second.public_id[:14] in page
    assert page.count("<svg viewBox") == 2


def test_results_are_filtered_and_paged(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, [f"p{n}" for n in range(120)], failed={7: "bad", 110: "bad"})
    address = reverse("admin:batches_batch_results", args=[batch.pk])
    seen: list[int] = []
    query = ""
    for _ in range(3):
        context = root.get(f"{address}?{query}").context
        seen += [row.index for row in context["rows"]]
        query = context["next_page"]
    assert seen == list(range(120))
    assert query == ""
    for given, found in (
        ({"status": "failed"}, [7, 110]),
        ({"kind": "server"}, [7, 110]),
        ({"kind": "refusal"}, []),
        ({"custom_id": "line-8"}, [7]),
        ({"status": "nonsense", "after": "118"}, [119]),
    ):
        assert [row.index for row in root.get(address, given).context["rows"]] == found


@pytest.mark.parametrize(
    ("given", "said", "found"),
    [
        (
            {"status": "nonsense"},
            "Status: Unknown value 'nonsense'; choose one of the list.",
            [0, 1, 2],
        ),
        (
            {"status": "failed\0"},
            r"Status: Unknown value 'failed\x00'; choose one of the list.",
            [0, 1, 2],
        ),
        ({"kind": "x"}, "Kind of failure: Unknown value 'x'; choose one of the list.", [0, 1, 2]),
        (
            {"kind": "x", "status": "failed"},
            "Kind of failure: Unknown value 'x'; choose one of the list.",
            [1],
        ),
        (
            {"kind": "server", "status": "succeeded"},
            f"Kind of failure: {NO_KIND}",
            [],
        ),
    ],
)
def test_a_wrong_filter_is_said_at_its_field(
    root: Client, provider: Provider, given: dict[str, str], said: str, found: list[int]
) -> None:
    batch = ended_batch(provider, ["p"] * 3, failed={1: "bad"})
    answer = root.get(reverse("admin:batches_batch_results", args=[batch.pk]), given)
    assert [row.index for row in answer.context["rows"]] == found
    page = unescape(answer.content.decode())
    alerts = re.findall(r'<label>([\w ]+) <select(?:(?!</label>).)*role="alert">(.*?)<', page)
    assert [": ".join(alert) for alert in alerts] == [said]


def linked(client: Client, page: str, text: str) -> str:
    """Where the first link of this text on a page leads."""
    found = re.findall(rf'href="([^"]+)"[^>]*>{text}<', client.get(page).content.decode())
    address = unescape(found[0])
    return page.partition("?")[0] + address if address.startswith("?") else address


def test_pages_of_results_lead_back(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, 120 * ["p"], failed=dict.fromkeys(range(0, 120, 2), "bad"))
    address = reverse("admin:batches_batch_results", args=[batch.pk])
    for start in (f"{address}?", f"{address}?status=failed"):
        pages, seen = [start], list[list[int]]()
        while root.get(pages[-1]).context["next_page"]:
            pages.append(linked(root, pages[-1], "Next page"))
        for number, page in enumerate(pages):
            seen.append([row.index for row in root.get(page).context["rows"]])
            if number:
                back = root.get(linked(root, page, "Previous page")).context["rows"]
                assert [row.index for row in back] == seen[number - 1]
        assert "Previous page" not in root.get(start).content.decode()
        assert len(seen) == {f"{address}?": 3, f"{address}?status=failed": 2}[start]


def test_results_are_counted_as_their_ids_are(root: Client, provider: Provider) -> None:
    page = shown(root, ended_batch(provider, ["a"]), "results")
    assert '<td class="tp-number" data-label="#">1</td>' in page


def test_a_result_leads_to_its_like(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["p"] * 9, failed=dict.fromkeys((2, 5, 7), "bad"))
    Result.objects.filter(batch=batch, index=7).update(kind="refusal")
    filtered = reverse("admin:batches_batch_results", args=[batch.pk]) + "?kind=server"
    second = linked(root, filtered, "line-6")
    page = root.get(second)
    assert (page.context["previous"], page.context["next"]) == (2, None)
    assert root.get(linked(root, second, "Previous")).context["prompt"].index == 2
    assert linked(root, second, "Back to similar failures") == filtered
    example = root.get(
        linked(root, reverse("admin:batches_batch_change", args=[batch.pk]), "line-3")
    )
    assert example.context["next"] == 5


def test_without_a_filter_a_result_leads_to_its_neighbours(
    root: Client, provider: Provider
) -> None:
    batch = ended_batch(provider, ["p"] * 3)
    found = [
        root.get(reverse("admin:batches_batch_result", args=[batch.pk, index])).context
        for index in range(3)
    ]
    assert [(one["previous"], one["next"]) for one in found] == [(None, 1), (0, 2), (1, None)]


def test_the_dashboard_counts_what_runs(root: Client, provider: Provider) -> None:
    batch_of(provider, ["a", "b"])
    ended_batch(provider, ["a", "b"], failed={1: "why"})
    dashboard = root.get(reverse("admin:index")).context["dashboard"]
    assert (dashboard.running, dashboard.waiting) == (0, 1)
    assert (dashboard.batches_today, dashboard.prompts_today) == (2, 2)
    assert [one.provider.name for one in dashboard.providers] == ["simulated"]


def test_the_way_to_a_page_names_the_row_and_the_page(root: Client, provider: Provider) -> None:
    batch = ended_batch(provider, ["a"])
    of_batch = reverse("admin:batches_batch_changelist")

    def way(name: str, *arguments: int, query: str = "") -> list[tuple[str, str]]:
        page = root.get(reverse(f"admin:{name}", args=arguments) + query).content.decode()
        nav = page[page.index('class="tp-way"') :].partition("</nav>")[0]
        steps = [step.partition('title="') for step in nav.split("<li>")[1:]]
        return [
            (rest.partition('"')[0], start.partition('href="')[2].partition('"')[0])
            for start, _, rest in steps
        ]

    page, results = (
        reverse(f"admin:batches_batch_{name}", args=[batch.pk]) for name in ("change", "results")
    )
    assert way("batches_batch_changelist") == [("Batches", "")]
    assert way("batches_batch_add") == [("Batches", of_batch), ("New", "")]
    start = [("Batches", of_batch)]
    assert way("batches_batch_change", batch.pk) == [*start, (batch.public_id, "")]
    start.append((batch.public_id, page))
    assert way("batches_batch_history", batch.pk) == [*start, ("History", "")]
    assert way("batches_batch_results", batch.pk) == [*start, ("Results", "")]
    assert way("batches_batch_result", batch.pk, 0) == [
        *start,
        ("Results", results),
        ("line-1", ""),
    ]
    assert way("batches_apitoken_changelist") == [("API tokens", "")]
    assert way("auth_user_changelist") == [("Users", "")]


def test_only_what_was_searched_for_was_found(root: Client, provider: Provider) -> None:
    ended_batch(provider, ["a"])
    address = reverse("admin:batches_batch_changelist")
    assert "found (" not in root.get(address).content.decode()
    assert "0 found (" in root.get(address, {"q": "nothing"}).content.decode()


def test_an_empty_list_says_what_is_empty(root: Client, login: Login) -> None:
    address = reverse("admin:batches_batch_changelist")
    assert "There are no batches yet." in root.get(address).content.decode()
    assert "New batch" in root.get(address).content.decode()
    assert "No batches match." in root.get(f"{address}?q=none").content.decode()
    assert "New batch" not in login("view_batch").get(address).content.decode()


def test_a_batch_that_its_command_has_left_is_said_to_wait_and_shows_no_pace(
    root: Client, provider: Provider
) -> None:
    batch = ended_batch(provider, ["a", "b"])
    run = {"status": BatchStatus.IN_PROGRESS, "total": 5, "in_background": False}
    Batch.objects.filter(pk=batch.pk).update(**run)
    page = shown(root, batch)
    assert f"--resume {batch.public_id}" in page
    assert "Time left" not in page
    assert "tp-pulse" not in page
    assert "every 2s" in page
    Slot.objects.filter(batch=batch).update(lease_expires_at=timezone.now() + timedelta(minutes=1))
    page = shown(root, batch)
    assert "--resume" not in page
    assert "Time left" in page


@pytest.mark.parametrize("pause_reason", ["", "config: a wrong name"])
def test_resume_hands_a_batch_of_a_command_to_the_workers(
    root: Client, provider: Provider, pause_reason: str
) -> None:
    batch = batch_of(provider, ["a"])
    Batch.objects.update(in_background=False, pause_reason=pause_reason)
    assert "Resume" in shown(root, batch)
    root.post(reverse("admin:batches_batch_resume", args=[batch.pk]))
    assert list(Batch.objects.waiting()) == [batch]
