"""Stored secrets are unreadable without a key, and keys can be changed without losing them."""

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.apps import apps
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import models
from pytest_django.fixtures import Settings

from batches.conf import checked
from batches.models import Provider, WebhookEndpoint
from batches.secrets.encryption import NotDecryptable, decrypt, encrypt, reencrypt
from batches.secrets.reencryption import ENCRYPTED
from config.environment import settings_of_app
from tests.configuring import configure

OLD = "an old key of more than thirty-two characters"
NEW = "a new key that also has over thirty-two characters"


@pytest.mark.parametrize("text", ["whsec_MfKQ9r8G", "", "schlüssel \U0001f511", "x" * 10_000])
def test_what_is_encrypted_comes_back(text: str) -> None:
    stored = encrypt(text)
    assert decrypt(stored) == text
    assert not text or text not in stored


def test_the_same_secret_is_never_stored_the_same_way_twice() -> None:
    assert encrypt("secret") != encrypt("secret")


def test_the_key_is_not_the_secret_key_itself(settings: Settings) -> None:
    # What SECRET_KEY signs elsewhere must not help to read what is stored.
    settings.SECRET_KEY = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="
    with pytest.raises(InvalidToken):
        Fernet(settings.SECRET_KEY).decrypt(encrypt("secret"))


@pytest.mark.parametrize("damage", ["", "not a token", "gAAAAA", "\N{SNOWMAN}"])
def test_what_nobody_encrypted_cannot_be_read(damage: str) -> None:
    with pytest.raises(NotDecryptable, match="FIELD_ENCRYPTION_KEYS"):
        decrypt(damage)


def test_a_changed_token_cannot_be_read() -> None:
    stored = encrypt("secret")
    with pytest.raises(NotDecryptable):
        decrypt(stored[:-2] + ("A" if stored[-2] != "A" else "B") + stored[-1])


def test_another_key_reads_nothing(settings: Settings) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[OLD])
    stored = encrypt("secret")
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW])
    with pytest.raises(NotDecryptable) as caught:
        decrypt(stored)
    assert NEW not in str(caught.value)


def test_keys_rotate(settings: Settings) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[OLD])
    stored = encrypt("secret")
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW, OLD])
    assert decrypt(stored) == "secret"
    stored = reencrypt(stored)
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW])
    assert decrypt(stored) == "secret"


def test_an_installation_without_keys_can_be_given_some(settings: Settings) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[])
    stored = encrypt("secret")
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW])
    assert decrypt(stored) == "secret"


def test_a_new_secret_key_reads_what_the_one_before_encrypted(settings: Settings) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[])
    settings.SECRET_KEY = "one"
    stored = encrypt("secret")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "two", ["one"]
    assert decrypt(stored) == "secret"


def test_a_short_key_is_refused_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIELD_ENCRYPTION_KEYS", f"{NEW},short")
    with pytest.raises(ImproperlyConfigured, match="openssl rand") as caught:
        checked(settings_of_app())
    assert NEW not in str(caught.value)


def test_the_command_puts_every_secret_under_the_first_key(
    db: None, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[OLD])
    endpoint = WebhookEndpoint.objects.create(
        owner=User.objects.create_user("ann"), secret=encrypt("new"), old_secret=encrypt("old")
    )
    provider = Provider.objects.create(
        name="a",
        api_key_encrypted=encrypt("key"),
        client_certificate_encrypted=encrypt("certificate"),
        proxy_encrypted=encrypt("proxy"),
    )
    Provider.objects.create(name="without a key")
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW, OLD])
    call_command("reencrypt")
    assert "5 secrets" in capsys.readouterr().out
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW])
    endpoint.refresh_from_db()
    provider.refresh_from_db()
    assert [decrypt(endpoint.secret), decrypt(endpoint.old_secret)] == ["new", "old"]
    assert decrypt(provider.api_key_encrypted) == "key"
    assert decrypt(provider.client_certificate_encrypted) == "certificate"
    assert decrypt(provider.proxy_encrypted) == "proxy"


def test_every_encrypted_column_is_among_those_that_the_command_knows() -> None:
    known = {(model, field) for model, fields in ENCRYPTED for field in fields}
    marked = {
        (model, field.name)
        for model in apps.get_app_config("batches").get_models()
        for field in model._meta.get_fields()
        if "secret" in field.name or "encrypted" in field.name
        if isinstance(field, models.TextField)
    }
    assert marked == known


def test_the_command_changes_nothing_when_a_secret_cannot_be_read(
    db: None, settings: Settings
) -> None:
    configure(settings, FIELD_ENCRYPTION_KEYS=[OLD])
    owner = User.objects.create_user("ann")
    readable = WebhookEndpoint.objects.create(owner=owner, secret=encrypt("new"))
    WebhookEndpoint.objects.create(owner=owner, secret="nonsense")
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW, OLD])
    with pytest.raises(CommandError, match="FIELD_ENCRYPTION_KEYS") as caught:
        call_command("reencrypt")
    assert caught.value.returncode == 2
    configure(settings, FIELD_ENCRYPTION_KEYS=[NEW])
    readable.refresh_from_db()
    with pytest.raises(NotDecryptable):
        decrypt(readable.secret)
