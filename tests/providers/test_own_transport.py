"""A project hands in its own transport of httpx; its errors are told like those of ours."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from batches.engine.errors import NetworkError, ProviderError, Unreachable
from batches.models import Provider
from batches.providers.client import ProviderClient
from batches.providers.configured import ProviderMisconfigured, provider_client
from tests.calling import failure, request
from tests.command_line import ROOT
from tests.configuring import configure
from tests.scripted_server import (
    ScriptedServer,
    Step,
    answer,
    chat,
    closed_port,
    closes,
    head,
    resets,
)

DOCS = (ROOT / "docs" / "deployment.md").read_text()
HOOKS = re.findall(r"^```python\n# hooks\.py\n(.*?)^```$", DOCS, re.DOTALL | re.MULTILINE)

Settings = Any


@pytest.fixture
def _hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The module of the docs, beside one that returns something else."""
    [source] = HOOKS
    (tmp_path / "hooks.py").write_text(source)
    (tmp_path / "wrong_hooks.py").write_text("def transport(base_url):\n    return base_url\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("_hooks")
async def test_calls_go_through_the_transport_of_the_docs(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(settings, PROVIDER_TRANSPORT="hooks.transport")
    async with ScriptedServer(answer(chat("fine"))) as server:
        row = Provider(name="p", base_url=server.base_url, api_key_encrypted="")
        async with provider_client(row, connections=1) as client:
            replies = [await client.send(request()) for _ in range(2)]
    assert [reply.answer for reply in replies] == ["fine", "fine"]
    assert capsys.readouterr().out.splitlines() == ["/v1/chat/completions 200"] * 2
    assert server.connections == 1
    assert server.requests[0].header("Host") == f"127.0.0.1:{server.port}"
    assert server.requests[0].body == request().content


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module.transport", "No module named 'no_such_module'"),
        ("hooks.no_such_function", 'does not define a "no_such_function"'),
        ("wrong_hooks.transport", "returned str, not a transport of httpx"),
    ],
)
@pytest.mark.usefixtures("_hooks")
def test_a_setting_that_leads_to_no_transport_is_named(
    settings: Settings, name: str, message: str
) -> None:
    configure(settings, PROVIDER_TRANSPORT=name)
    with pytest.raises(
        ProviderMisconfigured, match=re.escape(f"PROVIDER_TRANSPORT={name}")
    ) as error:
        provider_client(
            Provider(name="p", base_url="http://127.0.0.1/v1", api_key_encrypted=""), connections=1
        )
    assert message in str(error.value)


async def error_of(base_url: str) -> ProviderError:
    async with ProviderClient(base_url, transport=httpx.AsyncHTTPTransport()) as client:
        return await failure(client)


async def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    assert isinstance(await error_of(f"http://127.0.0.1:{closed_port()}/v1"), Unreachable)


@pytest.mark.parametrize("step", [closes(), resets(), closes(head(200, content_length=1000), b"{")])
async def test_a_reply_that_breaks_off_is_retried(step: Step) -> None:
    async with ScriptedServer(step) as server:
        error = await error_of(server.base_url)
    assert type(error) is NetworkError
    assert server.base_url in error.message
