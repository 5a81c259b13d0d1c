"""Versions of templates: counted by name and owner, also by several processes at once."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import RestrictedError

from batches.models import Batch, Provider, Template
from tests.makers import batch_of

WRITERS = 4


def messages(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


@pytest.mark.django_db(transaction=True)
def test_writers_at_once_get_versions_of_their_own() -> None:
    def store(number: int) -> int:
        try:
            return Template.objects.version_of(
                None, "t", messages(f"{number % 3}")
            ).template.version
        finally:
            connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        versions = list(pool.map(store, range(9)))
    assert sorted(Template.objects.values_list("version", flat=True)) == [1, 2, 3]
    assert versions[:3] == versions[3:6] == versions[6:]


@pytest.mark.django_db
def test_a_version_has_one_number_and_one_content() -> None:
    first = Template.objects.version_of(None, "t", messages("a")).template
    for changes in ({"version": 2}, {"digest": "other"}):
        values = {"version": 1, "digest": first.digest, "messages": [], **changes}
        with pytest.raises(IntegrityError), transaction.atomic():
            Template.objects.create(name="t", **values)
    assert Template.objects.version_of(None, "other", messages("a")).is_new


@pytest.mark.django_db
def test_a_template_of_a_batch_cannot_be_deleted(provider: Provider) -> None:
    template = Template.objects.version_of(None, "t", messages("a")).template
    Batch.objects.filter(pk=batch_of(provider, 1).pk).update(template=template)
    with pytest.raises(RestrictedError):
        template.delete()
