"""An endpoint that is given by its address becomes a provider, and the same one each time."""

import threading

import pytest
from django.db import connection

from batches.actions.providers import provider_at
from batches.errors import NotPossible
from batches.models import Provider

URL = "https://api.example.com/v1"
TOGETHER = 4
PATIENCE_S = 30.0


def make(name: str, **fields: str) -> Provider:
    return Provider.objects.create(name=name, **{"base_url": URL, **fields})


@pytest.mark.django_db
def test_it_is_made_once_for_each_address_and_variable() -> None:
    first = provider_at(URL, "A_API_KEY", requests_per_minute=60)
    assert provider_at(URL + "/", "A_API_KEY") == first
    assert provider_at(URL, "").pk != first.pk
    assert first.requests_per_minute == 60
    assert first.name == f"{URL} (A_API_KEY)"


@pytest.mark.django_db
def test_limits_that_are_given_are_its_limits_from_now_on() -> None:
    provider_at(URL, "", requests_per_minute=60)
    assert provider_at(URL, "", tokens_per_minute=9).requests_per_minute == 60
    assert Provider.objects.get().tokens_per_minute == 9


@pytest.mark.django_db
def test_of_several_with_one_address_the_oldest_is_taken() -> None:
    oldest = make("added by hand")
    make("added again")
    assert provider_at(URL, "", requests_per_minute=60) == oldest
    assert Provider.objects.filter(requests_per_minute=60).count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("variable", ["", "A_API_KEY"])
def test_a_key_that_was_stored_is_not_used_by_who_did_not_name_its_provider(variable: str) -> None:
    stored = make("with a key", api_key_encrypted="secret", api_key_env=variable)
    assert provider_at(URL, variable) != stored


@pytest.mark.django_db
def test_a_name_that_is_taken_is_left_to_who_has_it() -> None:
    for _ in range(2):
        provider_at(URL, "")
        Provider.objects.update(base_url="https://moved.example.com/v1")
    assert provider_at(URL, "").name == f"{URL} (no key) 3"
    long = f"https://api.example.com/{'x' * 200}"
    names = {provider_at(f"{long}/{number}", "").name for number in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) <= 100


@pytest.mark.django_db
def test_a_provider_with_a_name_is_not_ad_hoc() -> None:
    make("simulated", base_url="https://other.example.com/v1")
    made = provider_at(URL, "", "simulated")
    assert (made.name, made.is_ad_hoc) == ("simulated 2", False)
    assert provider_at(URL, "").is_ad_hoc is False


@pytest.mark.django_db
def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(NotPossible, match="ftp"):
        provider_at("ftp://api.example.com", "")


@pytest.mark.django_db(transaction=True)
def test_of_several_that_are_asked_for_at_once_one_is_made() -> None:
    start, made = threading.Barrier(TOGETHER), []

    def ask() -> None:
        try:
            start.wait(PATIENCE_S)
            made.append(provider_at(URL, "").pk)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(TOGETHER)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    assert made == [Provider.objects.get().pk] * TOGETHER
