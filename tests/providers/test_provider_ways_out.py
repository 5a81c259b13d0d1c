"""Settings and a provider's row say how it is called; what they have wrong is named."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from batches.models import Provider
from batches.net.ways_out import Proxy, WayOut
from batches.providers.configured import ProviderMisconfigured, provider_client, way_out
from batches.secrets.encryption import encrypt
from tests.calling import failure, request
from tests.certificates import Authority
from tests.configuring import configure
from tests.forward_proxy import ForwardProxy
from tests.scripted_server import ScriptedServer, answer, chat

CA = Authority()
OTHER_CA = Authority("Another CA")
PROXY = "http://user:canary@proxy.example:3128"

Settings = Any


def row(**fields: str) -> Provider:
    base_url = fields.pop("base_url", "https://api.example.com/v1")
    return Provider(name="p", base_url=base_url, api_key_encrypted="", **fields)


def written(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://of.environment.example:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")


def test_nothing_is_taken_from_the_environment_unless_it_is_asked_for(settings: Settings) -> None:
    assert way_out(row()) == WayOut()
    configure(settings, PROVIDER_PROXY="env")
    assert way_out(row()).proxy == Proxy("http://of.environment.example:1", set_by_operator=True)
    assert not way_out(row()).system_store
    configure(settings, PROVIDER_CA_BUNDLE="system")
    assert way_out(row()).system_store


def test_the_settings_say_the_way_to_every_provider(settings: Settings, tmp_path: Path) -> None:
    key, _, certificate = CA.issue().partition("-----BEGIN CERT")
    configure(
        settings,
        PROVIDER_CA_BUNDLE=written(tmp_path / "ca.pem", f"# Főtanúsítvány\n{CA.pem}"),
        PROVIDER_CLIENT_CERT=[
            written(tmp_path / "cert.pem", f"-----BEGIN CERT{certificate}"),
            written(tmp_path / "key.pem", key),
        ],
        PROVIDER_PROXY=PROXY,
    )
    way = way_out(row())
    assert way.authorities == CA.pem
    assert key in way.client_certificate
    assert way.proxy == Proxy.of(PROXY, set_by_operator=True)
    # A renewed file is read without a restart.
    written(tmp_path / "ca.pem", OTHER_CA.pem)
    assert way_out(row()).authorities == OTHER_CA.pem


def test_a_provider_may_have_its_own_way(settings: Settings, tmp_path: Path) -> None:
    certificate = CA.issue()
    configure(
        settings,
        PROVIDER_CA_BUNDLE=written(tmp_path / "ca.pem", CA.pem),
        PROVIDER_CLIENT_CERT=["/nowhere.pem"],
        PROVIDER_PROXY="http://another.example:1",
    )
    provider = row(
        ca_certificates=OTHER_CA.pem,
        client_certificate_encrypted=encrypt(certificate),
        proxy_encrypted=encrypt(PROXY),
    )
    way = way_out(provider)
    assert way.authorities == CA.pem + OTHER_CA.pem
    assert way.client_certificate == certificate
    assert way.proxy == Proxy.of(PROXY)
    provider.proxy_encrypted = encrypt("none")
    assert way_out(provider).proxy is None


NOT_FILES: list[tuple[str, str, str]] = [
    ("PROVIDER_CA_BUNDLE", "", "No such file or directory"),
    ("PROVIDER_CLIENT_CERT", "", "No such file or directory"),
    ("PROVIDER_CA_BUNDLE", "hello", "no certificate in PEM format"),
    ("PROVIDER_CA_BUNDLE", CA.pem.replace("M", "A"), "damaged"),
    ("PROVIDER_CLIENT_CERT", "hello", "no certificate in PEM format"),
    ("PROVIDER_CLIENT_CERT", CA.pem, "no private key"),
    ("PROVIDER_CLIENT_CERT", CA.issue(passphrase="x"), "passphrase"),
]


@pytest.mark.parametrize(("name", "text", "says"), NOT_FILES)
def test_a_file_that_cannot_be_used_is_named_with_its_setting(
    name: str, text: str, says: str, settings: Settings, tmp_path: Path
) -> None:
    path = written(tmp_path / "file.pem", text) if text else str(tmp_path / "nothing.pem")
    configure(settings, **{name: path if name == "PROVIDER_CA_BUNDLE" else [path]})
    with pytest.raises(ProviderMisconfigured, match=says) as caught:
        provider_client(row(), connections=1)
    assert f"{name}={path}: " in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "env", "name"),
    [
        ("socks5://u:canary@proxy:1", {}, "PROVIDER_PROXY: "),
        ("not a URL canary", {}, "PROVIDER_PROXY: "),
        ("env", {"HTTPS_PROXY": "socks5://u:canary@proxy:1"}, "HTTPS_PROXY or HTTP_PROXY: "),
    ],
)
def test_a_proxy_that_is_none_is_named_by_its_setting_alone(
    setting: str,
    env: dict[str, str],
    name: str,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(settings, PROVIDER_PROXY=setting)
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(ProviderMisconfigured) as caught:
        provider_client(row(), connections=1)
    assert str(caught.value).startswith(name)
    assert "canary" not in str(caught.value)


def test_what_is_stored_under_a_lost_key_is_to_be_entered_again() -> None:
    for field in ("proxy_encrypted", "client_certificate_encrypted"):
        with pytest.raises(ProviderMisconfigured, match=r"enter its .* again"):
            way_out(row(**{field: "nonsense"}))


def test_a_call_goes_through_all_that_is_set(settings: Settings, tmp_path: Path) -> None:
    """A private authority, a client certificate and a proxy with a password, at once."""
    configure(
        settings,
        PROVIDER_CA_BUNDLE=written(tmp_path / "ca.pem", CA.pem),
        PROVIDER_CLIENT_CERT=[written(tmp_path / "client.pem", CA.issue())],
    )
    context = CA.wants_clients(CA.server(tmp_path, "127.0.0.1"))

    async def call() -> None:
        async with (
            ScriptedServer(answer(chat()), tls=context) as server,
            ForwardProxy(login="user:canary") as proxy,
        ):
            url = f"http://user:canary@127.0.0.1:{proxy.port}"
            configure(settings, PROVIDER_PROXY=url)
            provider = row(base_url=server.base_url)
            async with provider_client(provider, connections=1) as client:
                assert (await client.send(request())).answer == "hello"
            assert proxy.seen == [f"CONNECT 127.0.0.1:{server.port} HTTP/1.1"]
            # A proxy on the row is staff's: what is private must be allowed.
            configure(settings, PROVIDER_PRIVATE_HOSTS=["localhost"])
            provider = row(proxy_encrypted=encrypt(url))
            async with provider_client(provider, connections=1) as client:
                assert "PROVIDER_PRIVATE_HOSTS=127.0.0.1" in (await failure(client)).message

    asyncio.run(call())
