"""The form that asks a model about rows, in Django's own admin in a browser."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from simulator import SimulatedProvider
from tests.makers import MODEL
from tests.processes.api_stack import ApiServer, serving
from tests.processes.conftest import PASSWORD
from tests.processes.stack import MANAGE
from tests.servers import run_quietly


@pytest.fixture
def server(tmp_path: Path, simulator: SimulatedProvider) -> Iterator[ApiServer]:
    """A project with five articles, and nothing that runs batches."""
    (tmp_path / "var").mkdir()
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.library.stock_settings",
        "DATA_DIR": str(tmp_path / "var"),
    }
    run_quietly(*MANAGE, "migrate", "-v0", env=env)
    with serving(env) as server:
        server.driver("superuser", username="ada", password=PASSWORD)
        base_url = simulator.base_url
        server.driver("provider", name="simulated", base_url=base_url, model_names=[MODEL])
        server.driver("library", name="make", number=5)
        yield server
        print(server.process.end_of_output)


@pytest.fixture
def page(chrome: Browser, server: ApiServer) -> Iterator[Page]:
    """The list of articles, for staff who may do everything."""
    with chrome.new_context() as context:
        page = context.new_page()
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{server.address}/library/login/?next=/library/library/article/")
        page.locator("[name=username]").fill("ada")
        page.locator("[name=password]").fill(PASSWORD)
        page.locator("[type=submit]").click()
        yield page
        assert complaints == []


def test_the_preview_follows_the_template(
    page: Page, server: ApiServer, simulator: SimulatedProvider
) -> None:
    # The box for all of them works only once a script has run.
    boxes = page.locator("input.action-select")
    expect(boxes).to_have_count(5)
    for box in boxes.all():
        box.check()
    page.locator("[name=action]").first.select_option("enrich_rows")
    page.locator("button[name=index]").first.click()
    page.locator("[name=fields_to_write]").select_option("summary")
    page.locator("[name=model]").fill(MODEL)
    preview = page.locator("#enrich-preview")
    page.locator("[name=template]").fill("Sum up {{ row.body }}")
    expect(preview).to_contain_text("Sum up body 2")
    expect(preview).not_to_contain_text("body 1 body")
    page.locator("[name=template]").fill("Sum up {{ row.boddy }}")
    expect(preview).to_contain_text("Did you mean 'body'?")
    page.locator("[name=template]").fill("In short: {{ row.body }}")
    expect(preview).to_contain_text("In short: body 0")
    assert server.driver("batches") == []
    page.locator("[value=start]").click()
    expect(page.locator("body")).to_contain_text("is started, with 5 rows")
    [batch] = server.driver("batches")
    assert server.driver("status", batch=batch)["total"] == 5
    assert simulator.calls.total() == 0
