"""Staff add providers: a key goes in and never comes out, and the connection can be tested."""

import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from batches.actions import providers as provider_actions
from batches.models import Provider
from batches.net.ways_out import WayOut
from batches.providers.configured import api_key, way_out
from batches.runner.run import run_slice
from simulator import Behaviour, SimulatedProvider
from tests.certificates import Authority
from tests.configuring import configure
from tests.makers import MODEL, batch_of

KEY = "sk-canary-0123456789abcdef"


def save(client: Client, provider: Provider | None = None, **fields: Any) -> str:
    """Save the form of a provider; the page that comes of it."""
    name, arguments = ("change", [provider.pk]) if provider else ("add", [])
    address = reverse(f"admin:batches_provider_{name}", args=arguments)
    data = {"name": "p", "base_url": "https://api.example.com/v1", **fields}
    return client.post(address, data, follow=True).content.decode()


def test_a_key_is_stored_encrypted_and_never_shown(root: Client) -> None:
    shown = save(root, api_key=KEY)
    provider = Provider.objects.get()
    assert api_key(provider) == KEY
    assert KEY not in provider.api_key_encrypted
    assert KEY not in shown
    assert provider.api_key_encrypted not in shown
    history = reverse("admin:batches_provider_history", args=[provider.pk])
    assert KEY not in root.get(history).content.decode()


def test_a_key_stays_until_another_is_entered_or_it_is_forgotten(root: Client) -> None:
    save(root, api_key=KEY)
    save(root, Provider.objects.get(), name="renamed")
    assert api_key(Provider.objects.get(name="renamed")) == KEY
    save(root, Provider.objects.get(), api_key=KEY[::-1])
    assert api_key(Provider.objects.get()) == KEY[::-1]
    save(root, Provider.objects.get(), forget_key="on")
    assert api_key(Provider.objects.get()) == ""


def test_staff_allow_more_endpoints_on_a_provider(root: Client) -> None:
    save(root, extra_endpoints=" /v1/rerank \r\n\r\n/v1/score\r\n/v1/rerank\r\n/v1/embeddings")
    provider = Provider.objects.get()
    # Those that every provider has need not be named.
    assert provider.extra_endpoints == ["/v1/rerank", "/v1/score"]
    assert (
        "/v1/rerank\n/v1/score"
        in root.get(reverse("admin:batches_provider_change", args=[provider.pk])).content.decode()
    )
    save(root, provider, extra_endpoints="")
    provider.refresh_from_db()
    assert provider.extra_endpoints == []


def test_saving_the_form_leaves_alone_what_machines_wrote(root: Client) -> None:
    save(root)
    Provider.objects.update(pause_reason="auth: refused", announced_limits={"m": {}})
    save(root, Provider.objects.get(), name="renamed")
    provider = Provider.objects.get(name="renamed")
    assert (provider.pause_reason, provider.announced_limits) == ("auth: refused", {"m": {}})


def test_what_is_stored_is_told_of_a_provider_that_is_there(root: Client) -> None:
    stored = "A key is stored."
    add = root.get(reverse("admin:batches_provider_add")).content.decode()
    assert stored not in add
    assert stored in save(root, api_key=KEY)


def test_there_is_one_default(root: Client) -> None:
    save(root, is_default="on")
    save(root, name="second", is_default="on")
    assert [p.name for p in Provider.objects.filter(is_default=True)] == ["second"]


def test_what_is_wrong_is_said(root: Client) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"base_url": "https://user@evil.example/v1"}, "is not a valid base URL"),
        ({"api_key": "no header\nthis"}, "are not allowed in HTTP headers"),
        ({"prices": '{"m": {"input": "dear"}}'}, "write its price as"),
        ({"prices": '{"m": {"input": 1e999, "output": 1}}'}, "a number is out of range"),
        ({"extra_endpoints": "/v1/rerank\n/v2/other"}, "write it like /v1/rerank"),
        ({"extra_endpoints": "https://evil.example/v1/a"}, "is not the path of an endpoint"),
        ({"requests_per_minute": "0"}, "Pause the provider to stop calls."),
    )
    for fields, message in wrong:
        assert message in save(root, **fields)
    assert not Provider.objects.exists()


def test_a_name_is_given_once(root: Client) -> None:
    taken = "Provider with this Name already exists."
    save(root)
    assert taken in save(root)
    save(root, name="second")
    assert taken in save(root, Provider.objects.get(name="second"), name="p")
    assert sorted(Provider.objects.values_list("name", flat=True)) == ["p", "second"]


def test_learned_limits_are_shown_with_their_time_and_can_be_forgotten(root: Client) -> None:
    save(root)
    learned = {"m": {"requests": {"learned_per_minute": 258.0}, "seen_at": 1_790_000_000.0}}
    Provider.objects.update(announced_limits=learned)
    page = reverse("admin:batches_provider_change", args=[Provider.objects.get().pk])
    shown = root.get(page).content.decode()
    assert "limited to 258 requests per minute, learned from 429s" in shown
    assert "2026-09-21 14:13:20 UTC" in shown
    forget = reverse("admin:batches_provider_forget_limits", args=[Provider.objects.get().pk])
    assert "Learned limits forgotten." in root.post(forget, follow=True).content.decode()
    assert Provider.objects.get().announced_limits is None


def probe_of(client: Client, provider: Provider) -> str:
    return client.post(reverse("admin:batches_provider_test", args=[provider.pk])).content.decode()


def test_the_connection_is_tested_with_the_stored_key(root: Client) -> None:
    knobs = Behaviour(api_key=KEY, models=("one", "two"))
    with SimulatedProvider(knobs) as simulator:
        save(root, base_url=simulator.base_url, api_key=KEY, model_names="one\nthree")
        answer = probe_of(root, Provider.objects.get())
        assert "Connected:</strong> 2 models" in answer
        assert "<code>two</code>" in answer
        assert "The provider does not list three" in answer
        save(root, Provider.objects.get(), base_url=simulator.base_url, api_key=f"{KEY}x")
        refused = probe_of(root, Provider.objects.get())
    assert "Connected, but the provider lists no models." in refused
    assert "HTTP 401" in refused
    assert "the first call decides" in refused
    gone = probe_of(root, Provider.objects.get())
    assert "Connection failed." in gone
    assert KEY not in refused + gone


def state_of(client: Client) -> str:
    """The state of the only provider in the list, which is that of its page too."""
    listed = client.get(reverse("admin:batches_provider_changelist")).content.decode()
    page = reverse("admin:batches_provider_change", args=[Provider.objects.get().pk])
    [state] = re.findall(r'class="field-state[^>]*>(.*?)</td>', listed, re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", " ", state).split())
    assert state.strip() in client.get(page).content.decode()
    return words


def test_a_provider_that_never_answered_is_not_tried(root: Client) -> None:
    with SimulatedProvider() as simulator:
        save(root, base_url=simulator.base_url, api_key=KEY)
        assert state_of(root) == "not tried"
        probe_of(root, Provider.objects.get())
        assert state_of(root) == "answering"
    probe_of(root, Provider.objects.get())
    assert state_of(root) == "answering"


def test_a_provider_that_answered_a_prompt_is_tried(
    root: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    assert state_of(root) == "not tried"
    run_slice(batch_of(provider, 3).pk)
    assert state_of(root) == "answering"


def test_a_provider_of_a_command_is_ad_hoc_until_staff_name_it(root: Client) -> None:
    provider = provider_actions.provider_at("https://api.example.com/v1", "")
    assert state_of(root) == "not tried ad hoc"
    save(root, provider, name="ours")
    assert state_of(root) == "not tried"


ELSEWHERE = (
    "https://evil.example/v1",
    "http://api.example.com/v1",
    "https://api.example.com:8443/v1",
)


@pytest.mark.parametrize("base_url", ELSEWHERE)
def test_a_stored_key_goes_to_the_server_that_it_was_entered_for(
    root: Client, base_url: str
) -> None:
    save(root, api_key=KEY)
    assert "Enter the key again" in save(root, Provider.objects.get(), base_url=base_url)
    provider = Provider.objects.get()
    assert (provider.base_url, api_key(provider)) == ("https://api.example.com/v1", KEY)
    save(root, provider, base_url=base_url, api_key=KEY[::-1])
    provider.refresh_from_db()
    assert (provider.base_url, api_key(provider)) == (base_url, KEY[::-1])


def test_another_path_of_the_same_server_needs_no_key(root: Client) -> None:
    save(root, api_key=KEY)
    save(root, Provider.objects.get(), base_url="https://API.example.com:443/v2/")
    provider = Provider.objects.get()
    assert (provider.base_url, api_key(provider)) == ("https://API.example.com:443/v2", KEY)


def test_a_key_that_is_forgotten_goes_nowhere(root: Client) -> None:
    save(root, api_key=KEY)
    save(root, Provider.objects.get(), base_url=ELSEWHERE[0], forget_key="on")
    provider = Provider.objects.get()
    assert (provider.base_url, api_key(provider)) == (ELSEWHERE[0], "")


def test_staff_name_no_other_secret_of_the_server(root: Client) -> None:
    for name, why in (("SECRET_KEY", "is a secret of this server"), ("HOME", "_API_KEY")):
        assert why in save(root, api_key_env=name)
    assert not Provider.objects.exists()
    save(root, api_key_env="OPENAI_API_KEY")
    assert Provider.objects.get().api_key_env == "OPENAI_API_KEY"


def test_what_an_operator_has_named_stays_where_it_is_sent(root: Client) -> None:
    provider_actions.provider_at("https://api.example.com/v1", "EXAMPLE_KEY")
    save(root, Provider.objects.get(), name="renamed", api_key_env="EXAMPLE_KEY")
    moved = save(root, Provider.objects.get(), base_url=ELSEWHERE[0], api_key_env="EXAMPLE_KEY")
    assert "PROVIDER_KEY_VARIABLES" in moved
    assert Provider.objects.get().name == "renamed"


def test_an_address_that_may_not_be_called_is_told_of(root: Client, settings: Any) -> None:
    configure(settings, PROVIDER_PRIVATE_HOSTS=[])
    save(root, base_url="http://127.0.0.1:9/v1")
    assert "PROVIDER_PRIVATE_HOSTS" in probe_of(root, Provider.objects.get())


CA = Authority()
PROXY = "http://user:canary@proxy.example:3128"


def test_the_way_to_a_provider_is_stored_and_its_secrets_never_shown(root: Client) -> None:
    certificate = CA.issue()
    ways: dict[str, Any] = {
        "ca_certificates": CA.pem,
        "client_certificate": certificate,
        "proxy": PROXY,
    }
    shown = save(root, **ways)
    provider = Provider.objects.get()
    way = way_out(provider)
    assert (way.authorities, way.client_certificate) == (CA.pem, certificate)
    assert way.proxy is not None
    assert (way.proxy.url_with_credentials, way.proxy.set_by_operator) == (PROXY, False)
    assert "http://********@proxy.example:3128" in shown
    for secret in ("canary", certificate.splitlines()[1]):
        assert secret not in shown
        assert secret not in provider.proxy_encrypted + provider.client_certificate_encrypted
    # What is sent back with a mask stays as it is.
    masked = {
        **ways,
        "client_certificate": "********",
        "proxy": PROXY.replace("user:canary", "*" * 8),
    }
    save(root, provider, name="renamed", **masked)
    provider = Provider.objects.get(name="renamed")
    assert way_out(provider) == way
    save(root, provider)
    provider.refresh_from_db()
    assert way_out(provider) == WayOut()


def test_a_proxy_without_credentials_is_shown_and_none_means_directly(
    root: Client, settings: Any
) -> None:
    configure(settings, PROVIDER_PROXY=PROXY)
    assert "http://10.0.0.1:3128" in save(root, proxy="http://10.0.0.1:3128")
    provider = Provider.objects.get()
    save(root, provider, proxy="none")
    provider.refresh_from_db()
    assert way_out(provider).proxy is None
    save(root, provider, proxy="")
    provider.refresh_from_db()
    assert way_out(provider).proxy is not None


def test_a_wrong_way_to_a_provider_is_told_of(root: Client) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"ca_certificates": "/etc/ssl/ca.pem"}, "no certificate in PEM format"),
        ({"ca_certificates": CA.pem.replace("M", "A")}, "damaged"),
        ({"client_certificate": CA.pem}, "no private key"),
        ({"client_certificate": CA.issue(passphrase="x")}, "passphrase"),
        ({"proxy": "socks5://u:canary@proxy:1080"}, "http://, not socks5://"),
        ({"proxy": "http://********@proxy:1"}, "Enter the user and password"),
    )
    for fields, message in wrong:
        assert message in save(root, **fields)
    assert not Provider.objects.exists()


@pytest.mark.parametrize("way", [{"proxy": "http://evil.example:1"}, {"ca_certificates": CA.pem}])
def test_a_stored_key_goes_no_other_way_than_it_was_entered_for(
    root: Client, way: dict[str, Any]
) -> None:
    # With a proxy or an authority of its own, another server could read it.
    save(root, api_key=KEY)
    assert "Enter the key again" in save(root, Provider.objects.get(), **way)
    assert way_out(Provider.objects.get()) == WayOut()
    save(root, Provider.objects.get(), api_key=KEY, **way)
    assert way_out(Provider.objects.get()) != WayOut()
    # Going back to the usual way needs no key.
    assert "Enter the key again" not in save(root, Provider.objects.get())


def test_a_provider_is_paused_and_resumed(root: Client) -> None:
    save(root)
    provider = Provider.objects.get()
    root.post(reverse("admin:batches_provider_pause", args=[provider.pk]))
    provider.refresh_from_db()
    assert "by user0" in provider.pause_reason
    root.post(reverse("admin:batches_provider_resume", args=[provider.pk]))
    provider.refresh_from_db()
    assert provider.pause_reason == ""


def test_limits_that_a_provider_announces_are_on_its_page(
    root: Client, provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(requests_per_second=50, burst=70)
    run_slice(batch_of(provider, 3).pk)
    page = root.get(reverse("admin:batches_provider_change", args=[provider.pk]))
    text = page.content.decode()
    assert MODEL in text
    assert "of 70 requests left" in text
