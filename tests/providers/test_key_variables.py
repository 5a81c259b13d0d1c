"""Which environment variables may hold a provider's key: of staff's choice, and of anybody's."""

import pytest
from pytest_django.fixtures import Settings

from batches.models import Provider
from batches.providers.configured import ProviderMisconfigured, api_key
from batches.providers.key_variables import VariableRefused, check_variable, check_variable_of_staff
from tests.configuring import configure

OWN = ("SECRET_KEY", "secret_key", "DATABASE_URL", "FIELD_ENCRYPTION_KEYS", "CELERY_BROKER_URL")


def keyed_by(variable: str) -> Provider:
    return Provider(base_url="https://x.example", api_key_encrypted="", api_key_env=variable)


@pytest.mark.parametrize("name", OWN)
def test_no_provider_gets_a_secret_of_the_project(
    name: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, PROVIDER_KEY_VARIABLES=["*"])
    monkeypatch.setenv(name, "canary")
    for check in (check_variable, check_variable_of_staff):
        with pytest.raises(VariableRefused, match="a secret of this server"):
            check(name)
    with pytest.raises(ProviderMisconfigured, match="a secret of this server"):
        api_key(keyed_by(name))


def test_an_operator_names_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXAMPLE_KEY", "canary")
    by_name = Provider(
        name="p", base_url="http://x", api_key_encrypted="", api_key_env="EXAMPLE_KEY"
    )
    assert api_key(by_name) == "canary"


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (["*_API_KEY"], "OPENAI_API_KEY"),
        (["*_API_KEY", "EXAMPLE_KEY"], "EXAMPLE_KEY"),
        (["*"], "HOME"),
    ],
)
def test_staff_name_those_of_the_setting(
    settings: Settings, patterns: list[str], name: str
) -> None:
    configure(settings, PROVIDER_KEY_VARIABLES=patterns)
    check_variable_of_staff(name)


@pytest.mark.parametrize(
    ("patterns", "name"),
    [
        (["*_API_KEY"], "AWS_SECRET_ACCESS_KEY"),
        (["*_API_KEY"], "HOME"),
        (["*_API_KEY"], "openai_api_key"),
        ([], "OPENAI_API_KEY"),
    ],
)
def test_staff_name_no_others(settings: Settings, patterns: list[str], name: str) -> None:
    configure(settings, PROVIDER_KEY_VARIABLES=patterns)
    with pytest.raises(VariableRefused, match="PROVIDER_KEY_VARIABLES"):
        check_variable_of_staff(name)
