"""A provider is asked for its models, and has to answer in time. It need not list any."""

import socket

import pytest

from batches.engine.errors import DeadlineExceeded
from batches.management.bulk.provider_check import check_provider
from batches.management.bulk.usage import UsageError
from batches.models import Provider
from batches.providers.probing import look, probe
from simulator import Behaviour, SimulatedProvider
from tests.scripted_server import Step, answer, closed_port, closes
from tests.scripted_thread import scripted


def test_the_models_of_a_provider_are_listed(
    provider: Provider, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(models=("a", "b"))
    assert look(provider).models == ["a", "b"]


def test_an_endpoint_that_never_answers_is_given_up(provider: Provider) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider.base_url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(DeadlineExceeded, match=f"{provider.base_url}: no answer within 0.2 s"):
            look(provider, deadline_s=0.2)


def refusal(message: str, code: str = "") -> dict[str, object]:
    return {"error": {"message": message, "code": code or None}}


FORBIDDEN = "You have insufficient permissions. Missing scopes: api.model.read"
HTML = b"<!doctype html><title>Welcome</title>"

# Answers to GET /models of providers that may answer prompts all the same.
UNLISTED: dict[str, tuple[Step, str]] = {
    "401": (answer(refusal("Incorrect API key.", "invalid_api_key"), status=401), "HTTP 401"),
    "401 without a body": (answer(b"", status=401), "HTTP 401"),
    "403": (answer(refusal(FORBIDDEN), status=403), "Missing scopes"),
    "403 in HTML": (answer(HTML, status=403), "HTTP 403"),
    "400": (answer(refusal("API key not valid"), status=400), "HTTP 400"),
    "402": (answer(refusal("no credit"), status=402), "HTTP 402"),
    "404": (answer({"detail": "Not Found"}, status=404), "HTTP 404"),
    "405": (answer({"detail": "Method Not Allowed"}, status=405), "HTTP 405"),
    "429": (answer(refusal("slow down"), status=429), "HTTP 429"),
    "500": (answer(b"Internal Server Error", status=500), "HTTP 500"),
    "501": (answer(b"", status=501), "HTTP 501"),
    "a redirect": (answer(b"", status=302, location="/login"), "HTTP 302"),
    "another list": (answer([{"id": "a"}]), "did not return a list of models"),
    "another object": (answer({"models": [{"name": "a"}]}), "did not return a list of models"),
    "HTML": (answer(HTML, content_type="text/html"), "did not return a list of models"),
    "nothing": (answer(b""), "did not return a list of models"),
}


@pytest.mark.parametrize(("step", "says"), UNLISTED.values(), ids=UNLISTED)
def test_a_provider_that_lists_no_models_is_warned_of_and_not_refused(
    step: Step, says: str
) -> None:
    with scripted(step) as base_url:
        provider = Provider(base_url=base_url, api_key_encrypted="")
        warning = check_provider(provider, 10).warning
        found = probe(provider)
    assert warning.startswith(f"Warning: {base_url}/models answered ")
    assert says in warning
    assert says in found.doubt
    assert ".." not in found.doubt
    assert all("the first call decides." in text for text in (warning, found.doubt))
    assert found.error == ""


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_refusal_that_passes_is_no_reason_to_warn(status: int) -> None:
    refused = answer(refusal("try again"), status=status)
    with scripted(refused, refused, answer({"data": [{"id": "a"}]})) as base_url:
        assert check_provider(Provider(base_url=base_url, api_key_encrypted=""), 10).warning == ""


def test_an_empty_list_of_models_is_warned_of() -> None:
    with scripted(answer({"object": "list", "data": []})) as base_url:
        provider = Provider(base_url=base_url, api_key_encrypted="")
        warning = check_provider(provider, 10).warning
        assert warning == f"Warning: {base_url}/models lists no models."
        assert (probe(provider).error, probe(provider).doubt) == ("", "")


def test_a_provider_that_lists_its_models_is_not_warned_of() -> None:
    with scripted(answer({"data": [{"id": "a"}]})) as base_url:
        assert check_provider(Provider(base_url=base_url, api_key_encrypted=""), 10).warning == ""


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ({"api_key_env": "SOME_KEY"}, "environment variable SOME_KEY"),
        ({}, "without a key; set one with --api-key-env"),
    ],
)
def test_the_warning_names_the_key(
    key: dict[str, str], names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-canary-0123456789")
    echo = "bad key sk-canary-0123456789" if key else "no key"
    with scripted(answer(refusal(echo), status=401)) as base_url:
        provider = Provider(base_url=base_url, api_key_encrypted="", **key)
        warning = check_provider(provider, 10).warning
    assert names in warning
    assert "canary" not in warning


def test_a_setting_that_keeps_every_call_from_the_provider_is_an_error() -> None:
    page = b"The plain HTTP request was sent to HTTPS port"
    with scripted(answer(page, status=400)) as base_url:
        provider = Provider(base_url=base_url, api_key_encrypted="")
        with pytest.raises(UsageError, match="did you mean https://"):
            check_provider(provider, 10)
        assert "did you mean https://" in probe(provider).error


@pytest.mark.parametrize("step", [closes(), closes(b"SSH-2.0-OpenSSH_9.2\r\n")])
def test_what_is_no_answer_is_an_error_of_the_test(step: Step) -> None:
    with scripted(step) as base_url:
        assert probe(Provider(base_url=base_url, api_key_encrypted="")).error
    nobody = f"http://127.0.0.1:{closed_port()}/v1"
    assert "refused" in probe(Provider(base_url=nobody, api_key_encrypted="")).error
