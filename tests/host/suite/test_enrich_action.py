"""The action that asks a model about goods reads and writes what the pages of the goods allow."""

import re
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batches.models import Answer, Batch
from tests.host.goods.admin import ItemAdmin
from tests.host.goods.models import Category, Item, Supplier
from tests.host.members.models import Member
from tests.makers import MODEL
from tests.runners import ended

LIST = "/staff/goods/item/"
SECRET = "a-hidden-text"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("provider")]


@pytest.fixture
def staff() -> Any:
    """A user who may change goods, view categories and add batches."""
    user: Any = Member.objects.create_user("ann@example.org", is_staff=True)
    names = ("change_item", "view_category", "add_batch")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return user


@pytest.fixture
def client(staff: Any) -> Client:
    client = Client()
    client.force_login(staff)
    return client


@pytest.fixture
def item(staff: Any) -> Item:
    """An item of the user, with what the pages of the admin hide all around it."""
    category = Category.objects.create(name="tools", note=SECRET)
    supplier = Supplier.objects.create(name=SECRET)
    other = Item.objects.create(title="other", body="b", secret=SECRET, category=category)
    assert other.owner is None
    hammer: Item = Item.objects.create(
        title="hammer",
        body="a body",
        secret=SECRET,
        views=7,
        category=category,
        supplier=supplier,
        owner=staff,
    )
    return hammer


def post(client: Client, *rows: Item, step: str = "preview", **changes: Any) -> Any:
    """Send the form for these rows, and return the answer."""
    data = {
        "action": "enrich_rows",
        "_selected_action": [row.pk for row in rows],
        "enrich_step": step,
        "template": "Sum up: {{ row.body }}",
        "fields_to_write": ["summary"],
        "model": MODEL,
        "if_changed": "skip",
        **changes,
    }
    return client.post(LIST, data)


def words(answer: Any) -> str:
    """Return the texts of a page; its form, with what was sent, is left out."""
    shown = re.sub(r"<textarea.*?</textarea>", "", answer.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", shown)).replace("&#x27;", "'")


HIDDEN = [
    "{{ row.secret }}",
    "{{ secret }}",
    "{{ row['secret'] }}",
    "{% set s = secret %}{{ s }} {{ row.body }}",
    "{% if row.secret == 'a' %}{{ row.body }}{% endif %}",
    "{{ row.body }}{{ row.secret | length }}",
    "{{ row }}",
    "{{ row.body }}{% for name in row %}{{ row[name] }}{% endfor %}",
    "{{ row.body }}{% set name = 'secret' %}{{ row[name] }}",
    "{{ row.body }}{{ row['sec' ~ 'ret'] }}",
    "{{ (row or row).secret }}",
    "{{ row.body }}{% set r = row %}{{ r.secret }}",
    "{{ row.category.note }}",
    "{{ category.note }}",
    "{% set c = row.category %}{{ c.note }}",
    "{{ (row.category or row.category).note }}",
    "{{ [row.category][0].note }}",
    "{% for name in row.category %}{{ row.category[name] }}{% endfor %}",
    "{{ row.category | string }}",
    "{{ row.supplier.name }}",
    "{{ row.owner.email }}",
    "{% for other in row.category.goods %}{{ other.secret }}{% endfor %}",
    "{% for other in row.category.goods %}{{ other.title }}{% endfor %}",
    "{{ row.category.goods | length }} {{ row.body }}",
    "{{ row.category.goods[0].secret }}",
]
SHOWN = {
    "{{ row.title }}": "hammer",
    "{{ title }} {{ body }}": "hammer a body",
    "{{ row.views }} seen": "7 seen",
    "{{ row.pk }}, {{ row.category_id }}": ", ",
    "{{ row.category.name }}": "tools",
    "In {{ category.name | upper }}": "In TOOLS",
    "{% if row.category and not row.category is none %}{{ row.category.name }}{% endif %}": "tools",
    "{% for word in row.body %}{{ loop.index }}{% endfor %}": "",
}


@pytest.mark.parametrize("template", HIDDEN)
def test_a_template_reads_nothing_that_the_pages_hide(
    client: Client, item: Item, template: str
) -> None:
    for step in ("preview", "start"):
        shown = words(post(client, item, step=step, template=template))
        assert "The template" in shown
        assert SECRET not in shown
        assert "Preview" not in shown.split("If a row changes")[0]
    assert not Batch.objects.exists()


@pytest.mark.parametrize("template", SHOWN)
def test_a_template_reads_what_the_pages_show(client: Client, item: Item, template: str) -> None:
    shown = words(post(client, item, template=template))
    if SHOWN[template]:
        assert SHOWN[template] in shown, shown
    else:
        assert "cannot be applied to the row" in shown


@pytest.mark.parametrize("name", ["private", "hidden"])
def test_a_related_row_that_the_user_may_not_open_is_not_read(
    client: Client, item: Item, name: str
) -> None:
    Category.objects.update(name=name)
    shown = words(post(client, item, template="In {{ row.category.name }}"))
    assert "You may not view row.category of 'hammer'" in shown
    assert f"In {name}" not in shown


def test_without_the_permission_to_view_related_rows_they_are_not_read(
    client: Client, staff: Any, item: Item
) -> None:
    staff.user_permissions.remove(Permission.objects.get(codename="view_category"))
    shown = words(post(client, item, template="{{ row.category.name }}"))
    assert "you may not view categorys" in shown


@pytest.mark.parametrize(
    ("opened", "template"),
    [
        ("secret", "{{ row.secret }}"),
        ("category.note", "{{ row.category.note }}"),
        ("supplier", "{{ row.supplier.name }}"),
        ("category.goods", "{% for one in row.category.goods %}{{ one.secret }}{% endfor %}"),
    ],
)
def test_a_developer_opens_more(
    client: Client,
    item: Item,
    opened: str,
    template: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ItemAdmin, "enrich_reads", (opened,))
    assert SECRET in words(post(client, item, template=template))
    beyond = "{% for one in row.category.goods %}{{ one.supplier.name }}{% endfor %}"
    assert SECRET not in words(post(client, item, template=beyond))


def test_rows_of_others_are_not_written(client: Client, item: Item) -> None:
    other = Item.objects.get(title="other")
    for step in ("preview", "start"):
        data = {"action": "enrich_rows", "_selected_action": [item.pk, other.pk]}
        answer = client.post(LIST, {**data, "enrich_step": step}, follow=True)
        assert "You may not change 'other': leave it out." in words(answer)
    post(client, item, other, step="start")
    assert not Batch.objects.exists()


def test_the_last_of_many_rows_counts_too(client: Client, staff: Any, item: Item) -> None:
    rows = Item.objects.bulk_create(Item(title=f"{n}", body="b", owner=staff) for n in range(600))
    Item.objects.filter(pk=rows[-1].pk).update(owner=None)
    answer = post(client, *rows, step="start")
    assert "You may not change '599'" in words(answer)
    assert not Batch.objects.exists()
    assert post(client, *rows[:-1], step="start").status_code == 302


def test_fields_that_are_read_only_for_a_row_are_not_written(client: Client, item: Item) -> None:
    for fields in (["title"], ["title", "summary"], ["secret"], ["views"]):
        answer = post(client, item, step="start", fields_to_write=fields)
        assert "is not one of the available choices" in words(answer)
    assert not Batch.objects.exists()


def test_fields_that_are_read_only_for_some_of_the_rows_are_not_written(
    client: Client, staff: Any, item: Item
) -> None:
    done = Item.objects.create(title="done", body="b", owner=staff)
    answer = post(client, item, done, step="start")
    assert "You may not change 'summary' of 'done'" in words(answer)
    assert not Batch.objects.exists()


def test_the_answer_is_written(client: Client, item: Item) -> None:
    template = "{{ row.title }} of {{ row.category.name }}"
    answer = post(client, item, step="start", template=template)
    assert answer.status_code == 302
    ended(Batch.objects.get())
    item.refresh_from_db()
    assert item.summary
    assert Answer.objects.get().state == "written"


def test_an_answer_becomes_one_of_the_choices_of_a_decimal_field(
    client: Client, item: Item
) -> None:
    answer = post(client, item, step="start", fields_to_write=["rate", "summary"])
    assert answer.status_code == 302
    ended(Batch.objects.get())
    item.refresh_from_db()
    assert item.rate in Item.RATES


def test_the_action_is_where_the_actions_are(
    client: Client, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = client.get(LIST).content.decode()
    assert 'value="enrich_rows"' in shown
    assert 'value="empty"' in shown
    assert "Ask a model about the selected items" in shown
    assert "enrich_rows" not in client.get(f"{LIST}?_popup=1").content.decode()


def test_no_actions_are_no_actions(
    client: Client, item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site.get_model_admin(Item), "actions", None)
    assert "enrich_rows" not in client.get(LIST).content.decode()
    post(client, item, step="start")
    assert not Batch.objects.exists()


VALID = (
    "{# system #}\nYou are {{ 'kind' }}.\n{# user #}\n{% if row.body and not row.category %}"
    "{% for one in [row.title, title] %}{{ loop.index }}: {{ one | upper | default('x') }}"
    "{% endfor %}{% elif row['views'] > 3 %}{{ row.category.name[:10] }}{% else %}-{% endif %}"
    "{% set n = 1.5e3 + 2 %}{{ n ~ row.body }}{% raw %}{{ x{% endraw %}{# a comment #}"
)
SYMBOLS = "{{ }} {% %} {# #} . | ( ) [ ] ' - 1 row body if for x in endfor endif and not set ="
PIECES = st.sampled_from([*SYMBOLS.split(), " ", "\n", "\x00", "é"])
TEXTS = st.one_of(
    st.integers(0, len(VALID)).map(lambda end: VALID[:end]),
    st.integers(0, len(VALID)).map(lambda start: VALID[start:]),
    st.lists(PIECES, max_size=30).map(" ".join),
    st.text(max_size=50).map(lambda text: f"{{{{ row.body }}}} {{% {text} %}}"),
)
BROKEN = [
    "{{ row.body",
    "{% if row.body %}x",
    "\n{% elif %}",
    "{{ row.body | nofilter }}",
    "{{ row[1] }}",
    "{{ row.body is nothing }}",
    "{% include 'x' %}",
    "{% nothing %}",
    "{{ '\\N{nothing}' }}{{ row.body }}",
    "{{ row.body }}" + "{{ " + "(" * 2_000 + "1" + ")" * 2_000 + " }}",
    "{{ row.body }}" + "{{ " + "not " * 2_000 + "1 }}",
    "{{ row.body }}" + "{% if 1 %}" * 500 + "{% endif %}" * 500,
    "{{ row.body }}" + "{{ " + "9" * 10_000 + " }}",
    "{{ row.body }}{{ 1e999 }}",
    "{{ row.body }}{{ -1e999 }}",
    "{# system #}\nonly this",
    "{# user #}",
    "---\n",
    "{{ row.body }}" * 20_000,
]


@pytest.mark.parametrize("template", BROKEN, ids=lambda text: text[:30])
@pytest.mark.parametrize("step", ["preview", "start"])
def test_a_broken_template_is_an_error_of_the_form(
    client: Client, item: Item, template: str, step: str
) -> None:
    answer = post(client, item, template=template, step=step)
    assert answer.status_code == 200
    assert answer.context["form"].non_field_errors()
    assert not Batch.objects.exists()


def test_the_error_says_the_line(client: Client, item: Item) -> None:
    answer = post(client, item, template="{# user #}\n\n{{ row.body }}\n{% if %}")
    [error] = answer.context["form"].non_field_errors()
    assert "(line 4)" in error


@given(template=TEXTS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_is_shown_with_its_preview_or_its_error(
    client: Client, item: Item, template: str
) -> None:
    answer = post(client, item, template=template)
    assert answer.status_code == 200
    assert bool(answer.context["shown"]) is not bool(answer.context["form"].errors)
