"""Which batches can be compared, with which truth, and what the best can be run with."""

import pytest
from django.contrib.auth.models import User

from batches.comparison.choosing import check_comparable, truths_of, whole_input
from batches.errors import NotPossible
from batches.models import Batch, Prompt, Provider
from tests.comparison.makers import answered_batch

pytestmark = pytest.mark.django_db


def test_two_to_four_different_batches_of_one_owner_are_compared(provider: Provider) -> None:
    ann = User.objects.create(username="ann")
    made = [answered_batch(provider, {"a": {"x": 1}}) for _ in range(5)]
    hers = answered_batch(provider, {"a": {"x": 1}}, owner=ann)
    empty = answered_batch(provider, {})
    check_comparable(made[:4])
    for chosen, reason in (
        (made[:1], "choose 2 to 4 batches"),
        (made, "choose 2 to 4 batches"),
        ([made[0], made[0]], "name each batch once"),
        ([made[0], hers], "different owners"),
        ([made[0], empty], f"{empty.public_id} has no rows"),
    ):
        with pytest.raises(NotPossible, match=reason):
            check_comparable(chosen)


def test_a_truth_names_a_field_and_a_column(provider: Provider) -> None:
    plain = answered_batch(provider, {"a": {"x": 1}})
    table = answered_batch(provider, {"a": {"x": 1}}, rows={"a": {"label": "x", "n": 1}})
    both = [plain, table]
    assert truths_of([], both) == {}
    assert truths_of(["x = label", "y=n"], both) == {"x": "label", "y": "n"}
    for text, reason in (
        ("x", "is not FIELD=COLUMN"),
        ("=label", "is not FIELD=COLUMN"),
        ("x=Label", "there is no column 'Label'; there are: 'label', 'n'"),
    ):
        with pytest.raises(NotPossible, match=reason):
            truths_of([text], both)
    with pytest.raises(NotPossible, match="the batches have no columns"):
        truths_of(["x=label"], [plain])


def test_the_whole_input_is_the_largest_that_has_the_same_rows(provider: Provider) -> None:
    answers = {f"r{n}": {"x": 1} for n in range(10)}
    part = answered_batch(provider, dict(list(answers.items())[:3]))
    more = answered_batch(provider, dict(list(answers.items())[:5]))
    whole = answered_batch(provider, answers)
    others = answered_batch(provider, {f"s{n}": {"x": 1} for n in range(20)})
    chosen = [part, more, whole, others]
    assert [whole_input(chosen, batch) for batch in chosen] == [whole, whole, whole, others]
    # The same rows with other prompts are another input.
    Prompt.objects.filter(batch=whole, custom_id="r0").update(body="{}")
    assert [whole_input(chosen, batch) for batch in (part, more)] == [more, more]
    Batch.objects.filter(pk=more.pk).update(endpoint="/v1/responses")
    more.refresh_from_db()
    assert whole_input(chosen, part) == part


def test_rows_of_a_table_are_an_input_whatever_their_prompts(provider: Provider) -> None:
    rows = {f"r{n}": {"n": n} for n in range(4)}
    whole = answered_batch(provider, {key: {"x": 1} for key in rows}, rows=rows)
    part = answered_batch(provider, {"r1": {"x": 1}}, rows={"r1": {"n": 1}})
    Prompt.objects.filter(batch=part).update(body="{}")
    for batch in (whole, part):
        batch.template_id = 1
    assert whole_input([whole, part], part) == whole
    Prompt.objects.filter(batch=part).update(row='{"n": 7}')
    assert whole_input([whole, part], part) == part
