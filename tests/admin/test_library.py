"""The library of templates: what is listed, and what a version shows."""

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from batches.admin.templates.changes import MOST_LINES, changed_lines
from batches.models import Batch, Provider, Template
from tests.admin.conftest import Login
from tests.makers import batch_of

LIST = "admin:batches_template_changelist"


def stored(owner: User | None, name: str, *texts: str) -> Template:
    """The last of these versions of a template."""
    for text in texts:
        messages = [{"role": "user", "content": text}]
        made = Template.objects.version_of(owner.pk if owner else None, name, messages).template
    return made


def using(provider: Provider, template: Template) -> Batch:
    batch = batch_of(provider, ["a"])
    Batch.objects.filter(pk=batch.pk).update(template=template, owner=template.owner)
    return batch


def page(template: Template) -> str:
    return reverse("admin:batches_template_change", args=[template.pk])


def user_of(client: Client) -> User:
    return User.objects.get(pk=client.session["_auth_user_id"])


def listed(client: Client, **query: str) -> list[Template]:
    found: list[Template] = list(client.get(reverse(LIST), query).context["cl"].result_list)
    return found


@pytest.fixture
def analyst(login: Login) -> Client:
    return login("view_template", "view_batch", "add_batch", "view_result")


def test_the_list_has_the_latest_version_of_each_name(analyst: Client, provider: Provider) -> None:
    me = user_of(analyst)
    mine, shared = stored(me, "reviews", "{{ a }}", "{{ b }}"), stored(None, "reviews", "{{ c }}")
    other = stored(me, "letters", "{{ a }}")
    using(provider, stored(me, "reviews", "{{ a }}"))
    using(provider, mine)
    using(provider, shared)
    found = listed(analyst)
    assert found == [other, shared, mine]
    assert [vars(one)["uses"] for one in found] == [0, 1, 2]
    assert listed(analyst, q="VIEW") == [shared, mine]
    assert listed(analyst, q="nothing") == []


def test_another_owner_s_templates_are_neither_listed_nor_opened(
    analyst: Client, root: Client, provider: Provider
) -> None:
    other = User.objects.create_user("other", is_staff=True)
    theirs = stored(other, "secret", "first {{ a }}", "second {{ a }}")
    assert listed(analyst) == []
    history = reverse("admin:batches_template_history", args=[theirs.pk])
    for address in (page(theirs), history):
        assert analyst.get(address, follow=True).status_code == 404 or (
            "secret" not in analyst.get(address, follow=True).content.decode()
        )
    assert analyst.get(page(theirs)).status_code == 404
    assert listed(root) == [theirs]
    assert root.get(page(theirs)).status_code == 200
    # The page of a batch names the template, without a link to what would not open.
    batch = using(provider, theirs)
    shown = analyst.get(reverse("admin:batches_batch_change", args=[batch.pk])).content.decode()
    assert "secret v2" in shown
    assert page(theirs) not in shown
    assert "second {{" not in shown


def test_a_version_shows_its_messages_and_what_has_changed(
    analyst: Client, provider: Provider
) -> None:
    me = user_of(analyst)
    same = "\n".join(f"line {number}" for number in range(20))
    first = stored(me, "reviews", f"Rate {{{{ a }}}}.\n{same}\nend")
    second = stored(me, "reviews", f"Judge {{{{ a }}}}.\n{same}\nend")
    batch = using(provider, second)
    shown = analyst.get(page(second)).content.decode()
    assert "Changes since v1" in shown
    assert '<del><span class="tp-unseen">removed: </span>- Rate {{ a }}.</del>' in shown
    assert '<ins><span class="tp-unseen">added: </span>+ Judge {{ a }}.</ins>' in shown
    assert f'href="{page(first)}"' in shown
    assert reverse("admin:batches_batch_change", args=[batch.pk]) in shown
    assert f"{reverse('admin:batches_batch_add')}?template={second.pk}" in shown
    assert "Changes since" not in analyst.get(page(first)).content.decode()


def test_the_page_of_a_batch_shows_its_template(analyst: Client, provider: Provider) -> None:
    template = stored(user_of(analyst), "reviews", "Rate {{ a }}.", "Judge {{ a }}.")
    batch = using(provider, template)
    for name in ("change", "live"):
        address = reverse(f"admin:batches_batch_{name}", args=[batch.pk])
        shown = analyst.get(address).content.decode()
        assert f'<a class="tp-link" href="{page(template)}">reviews v2</a>' in shown
    whole = analyst.get(reverse("admin:batches_batch_change", args=[batch.pk])).content.decode()
    assert "+ Judge {{ a }}." in whole
    assert "- Rate {{ a }}." in whole


def test_nothing_of_a_version_is_changed_or_deleted(root: Client) -> None:
    template = stored(None, "reviews", "{{ a }}")
    assert root.get(reverse("admin:batches_template_add")).status_code == 403
    delete = reverse("admin:batches_template_delete", args=[template.pk])
    assert root.post(delete, {"post": "yes"}).status_code == 403
    root.post(page(template), {"name": "other", "messages": "[]"})
    template.refresh_from_db()
    assert (template.name, template.messages[0]["content"]) == ("reviews", "{{ a }}")


def test_pages_cost_the_same_for_many_versions_and_batches(
    analyst: Client, provider: Provider
) -> None:
    me = user_of(analyst)
    template = stored(me, "reviews", "first {{ a }}", "second {{ a }}")
    using(provider, template)
    counts = []
    for _ in range(2):
        for address in (reverse(LIST), page(template)):
            with CaptureQueriesContext(connection) as captured:
                assert analyst.get(address).status_code == 200
            counts.append(len(captured))
        for number in range(15):
            using(provider, stored(me, "reviews", f"version {number} {{{{ a }}}}"))
            stored(me, f"other {number}", "{{ a }}")
    assert counts[:2] == counts[2:]
    assert max(counts) <= 12


def test_versions_that_take_long_to_compare_are_not_compared() -> None:
    long = [{"role": "user", "content": "a\n" * MOST_LINES}]
    assert changed_lines(long, [{"role": "user", "content": "a"}]) is None
    short = [{"role": "user", "content": "a\nb"}], [{"role": "user", "content": "a\nc"}]
    found = [(line.mark, line.text) for line in changed_lines(*short) or ()]
    assert found == [
        *(("same", "{# user #}"), ("same", "a"), ("removed", "b"), ("added", "c")),
    ]
