"""A pilot in the admin: the field of the form, the card of the report, and its buttons."""

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from batches.actions.options import Pilot
from batches.lifecycle import BatchStatus
from batches.limits.rules import Rules
from batches.models import Batch, Provider
from batches.runner.run import run_slice
from simulator import SimulatedProvider
from tests.admin.conftest import Login
from tests.admin.test_batch_pages import shown
from tests.admin.test_new_batch import errors, post, prompts_of
from tests.makers import MODEL, batch_of

FAILS_ONCE = "[simulate: status=500 times=1]"


@pytest.fixture
def waiting(provider: Provider) -> Batch:
    """A batch at its gate; a prompt of the pilot has failed."""
    provider.prices = {MODEL: {"input": 10, "output": 20}}
    provider.save()
    texts = [f"question {number} {FAILS_ONCE if number == 7 else ''}" for number in range(20)]
    batch = batch_of(provider, texts, pilot=Pilot(rows=4), max_attempts=1)
    run_slice(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_kind == "pilot"
    return batch


def press(client: Client, batch: Batch, name: str, **fields: str) -> None:
    answer = client.post(reverse(f"admin:batches_batch_{name}", args=[batch.pk]), fields)
    assert answer.status_code == 302
    batch.refresh_from_db()


def test_the_page_of_a_batch_at_its_gate_shows_the_report_and_the_answers(
    root: Client, waiting: Batch
) -> None:
    page = shown(root, waiting)
    card = page.partition('id="pilot"')[2].partition("</section>")[0]
    assert "Paused: pilot done" in page
    for text in ("4 prompts, 1 failed (server 1)", "Cost per prompt", "for all 20 prompts"):
        assert text in card
    # Prompts and answers side by side, once on the page.
    assert "question 12" in card
    assert page.count('id="result-12"') == 1
    assert "Go on with the other 16" in card
    assert "Retry 1 failed" in card
    assert 'id="cancel"' in page
    assert 'id="resume"' not in page


def test_the_button_goes_on(root: Client, waiting: Batch) -> None:
    press(root, waiting, "resume")
    assert waiting.pause_reason == ""
    page = shown(root, waiting)
    assert "Go on with" not in page
    assert "for all 20 prompts" in page
    assert run_slice(waiting.pk).ended


def test_the_failed_prompts_are_retried_at_the_gate(
    root: Client, waiting: Batch, simulator: SimulatedProvider
) -> None:
    press(root, waiting, "retry", only="failed")
    run_slice(waiting.pk)
    waiting.refresh_from_db()
    assert (waiting.succeeded, waiting.failed, waiting.pause_kind) == (4, 0, "pilot")
    assert simulator.calls.total() == 5
    assert "retry-pilot" not in shown(root, waiting)


def test_a_user_who_may_only_look_sees_the_report_without_buttons(
    waiting: Batch, client: Client, django_user_model: type
) -> None:
    user = django_user_model.objects.create_user("looker", is_staff=True)  # type: ignore[attr-defined]  # a user model

    user.user_permissions.add(Permission.objects.get(codename="view_batch"))
    client.force_login(user)
    page = shown(client, waiting)
    assert "for all 20 prompts" in page
    assert "Go on with" not in page
    assert "question 12" not in page


def test_a_batch_is_cancelled_at_its_gate(root: Client, waiting: Batch) -> None:
    press(root, waiting, "cancel")
    assert waiting.status == BatchStatus.CANCELLED
    assert "Go on with" not in shown(root, waiting)


def test_the_form_makes_a_batch_with_a_pilot_and_rules(root: Client, provider: Provider) -> None:
    texts = "\n".join(f"prompt {number}" for number in range(20))
    rules = "max_failed=0.05"
    answer = post(root, provider, "start", prompts=texts, pilot="4", stop_when=rules)
    assert answer.status_code == 302
    batch = Batch.objects.get()
    assert len(prompts_of(batch)) == 20
    assert (batch.pilot_rows, batch.stop_when) == (4, {"max_failed": 0.05})
    assert batch.chunks.behind_gate().exists()
    page = shown(root, batch)
    assert "4 prompts" in page
    assert "max_failed=0.05" in page


def test_the_form_spreads_a_pilot_over_a_column(root: Client, provider: Provider) -> None:
    table = "review,country\n" + "".join(f"r{n},{'de' if n % 10 else 'at'}\n" for n in range(40))

    def made(**fields: str) -> HttpResponse:
        file = SimpleUploadedFile("reviews.csv", table.encode())
        data = {"pilot": "5", "user_part": "{{ review }}", **fields}
        return post(root, provider, "start", file=file, **data)

    assert "There is no column" in errors(made(pilot_by="contry"))["pilot_by"][0]
    assert "number of prompts" in errors(made(pilot_by="country", pilot=""))["pilot"][0]
    assert "at most 1,000" in errors(made(pilot_by="country", pilot="2000"))["pilot"][0]
    assert (
        "a template"
        in errors(made(pilot_by="country", user_part="", column="review"))["pilot_by"][0]
    )
    assert not Batch.objects.exists()
    assert made(pilot_by="country").status_code == 302
    batch = at_gate(Batch.objects.get())
    found = batch.results.values_list("prompt__row", flat=True)
    assert sum('"at"' in (row or "") for row in found) == 1
    answer = root.post(reverse("admin:batches_batch_again", args=[batch.pk]), follow=True)
    assert answer.context["form"]["pilot_by"].value() == "country"


def test_without_them_a_batch_has_neither(root: Client, provider: Provider) -> None:
    assert post(root, provider, "start", prompts="one").status_code == 302
    batch = Batch.objects.get()
    assert (batch.pilot_rows, batch.stop_when) == (None, None)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("pilot", "0", "greater than or equal to 1"),
        ("pilot", "some", "whole number"),
        ("stop_when", "max_fail=1", "There is no 'max_fail'."),
        ("stop_when", "5%", "is not one rule, such as max_failed=0.05"),
        ("stop_when", "max_cost_per_row=1", "max_cost_per_row cannot be used: the price of"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(
    root: Client, provider: Provider, field: str, value: str, words: str
) -> None:
    answer = post(root, provider, "start", prompts="one", **{field: value})
    [message] = errors(answer)[field]
    assert words in message
    assert not Batch.objects.exists()


def test_running_again_keeps_the_pilot_and_the_rules(root: Client, provider: Provider) -> None:
    rules = Rules(max_failed=0.25)
    batch = batch_of(provider, 3, pilot=Pilot(rows=2), stop_when=rules)
    answer = root.post(reverse("admin:batches_batch_again", args=[batch.pk]), follow=True)
    form = answer.context["form"]
    assert form["pilot"].value() == 2
    assert form["stop_when"].value() == "max_failed=0.25"


def test_a_batch_that_broke_a_rule_is_resumed_without_it(root: Client, provider: Provider) -> None:
    texts = [f"{number} {'[simulate: status=400]' if number % 2 else ''}" for number in range(60)]
    batch = batch_of(provider, texts, batch_size=5, stop_when=Rules(max_failed=0.05))
    run_slice(batch.pk)
    assert "Resume without the rules" in shown(root, batch)
    press(root, batch, "resume")
    run_slice(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_kind == "rule"
    press(root, batch, "resume", without_rules="1")
    assert batch.stop_when is None
    assert run_slice(batch.pk).ended


def test_after_a_pilot_the_template_is_changed_and_only_changed_rows_are_sent_again(
    root: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    table = "review\n" + "\n".join(f"review {number}" for number in range(20))
    file = SimpleUploadedFile("reviews.csv", table.encode())
    post(root, provider, "start", file=file, pilot="4", user_part="Rate: {{ review }}")
    first = at_gate(Batch.objects.get())
    assert simulator.calls.total() == 4
    asked = root.post(reverse("admin:batches_batch_again", args=[first.pk]), {"instead": "1"})
    shown_form = root.get(asked["Location"])
    assert "cancels <a" in shown_form.content.decode()
    form = shown_form.context["form"]
    assert (form["reuse"].value(), form["pilot"].value()) == ("owner", 4)
    changed = "Rate{% if review == 'review 2' %} kindly{% endif %}: {{ review }}"
    again = {"stored": form.kept.public_id, "pilot": "4", "reuse": "owner", "instead": first.pk}
    # What does not fit leaves the first batch as it is.
    refused = post(root, provider, "start", **again, user_part="{{ reviews }}")
    assert f'name="instead" value="{first.pk}"' in refused.content.decode()
    first.refresh_from_db()
    assert first.status == BatchStatus.IN_PROGRESS
    assert post(root, provider, "start", **again, user_part=changed).status_code == 302
    first.refresh_from_db()
    assert first.status == BatchStatus.CANCELLED
    second = at_gate(Batch.objects.exclude(pk=first.pk).get())
    assert simulator.calls.total() == 5
    assert (second.succeeded, second.reused) == (4, 3)


def test_a_batch_that_was_resumed_in_the_meantime_is_not_replaced(
    root: Client, provider: Provider, waiting: Batch
) -> None:
    press(root, waiting, "resume")
    answer = post(root, provider, "start", prompts="one", instead=waiting.pk)
    assert answer.status_code == 302
    waiting.refresh_from_db()
    assert waiting.status == BatchStatus.IN_PROGRESS


def test_a_batch_is_replaced_only_by_a_user_who_may_change_it(
    provider: Provider, waiting: Batch, login: Login
) -> None:
    user = login("add_batch", "view_batch", "view_result", "view_provider")
    assert "change-pilot" not in shown(user, waiting)
    answer = post(user, provider, "start", prompts="one", instead=waiting.pk)
    assert answer.status_code == 403
    waiting.refresh_from_db()
    assert waiting.status == BatchStatus.IN_PROGRESS


def at_gate(batch: Batch) -> Batch:
    """Run a batch up to its gate."""
    prompts_of(batch)
    run_slice(batch.pk)
    batch.refresh_from_db()
    assert batch.pause_kind == "pilot"
    return batch
