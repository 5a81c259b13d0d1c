"""A project that the app cannot work in, or is unsafe in, is told so by `manage.py check`."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.checks import CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections
from django.urls import path
from django.utils.module_loading import import_string
from django.views.generic import RedirectView
from pytest_django.fixtures import Settings

from batches.checks import REQUEST_ID, TAG
from tests.configuring import configure

ROOT = Path(project.BASE_DIR)
DOCS, CODE = ROOT / "docs" / "settings.md", ROOT / "batches" / "checks.py"

# The URLs of a project without the API.
urlpatterns = [path("", RedirectView.as_view(url="/"))]


class Elsewhere:
    """A router that keeps the app in another database."""

    def db_for_write(self, *_: Any, **__: Any) -> str:
        return "elsewhere"


def found(*, deploy: bool = False) -> list[CheckMessage]:
    return run_checks(tags=[TAG], include_deployment_checks=deploy)


def test_this_project_is_without_fault() -> None:
    assert found(deploy=True) == []


DEFAULT_STORAGES = {name: one for name, one in project.STORAGES.items() if name != "batches"}
FAULTS: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("E001", {"LEASE_SECOND": 1}, {}, 'BATCHES["LEASE_SECOND"] is not a setting.'),
    ("E001", {"LEASE_SECONDS": 0}, {}, 'BATCHES["LEASE_SECONDS"]: input should be greater than 0.'),
    ("E004", {"PROVIDER_TRANSPORT": "no.such"}, {}, "No module named 'no'."),
    ("E004", {"PROVIDER_CA_BUNDLE": "/no/such.pem"}, {}, "there is no file /no/such.pem."),
    ("E004", {"PROVIDER_CLIENT_CERT": ["/no/such.pem"]}, {}, "there is no file /no/such.pem."),
    ("E004", {"PROVIDER_TRANSPORT": "os.sep"}, {}, "os.sep is not a function."),
    ("E004", {"PROVIDER_CA_BUNDLE": "/tmp"}, {}, "there is no file /tmp."),  # noqa: S108 - no file
    ("E004", {"RATE_LIMIT_REDIS_URL": "localhost:6379"}, {}, "does not begin with redis://"),
    ("E005", {"TASKS_APP": "os.path"}, {}, "TASKS_APP: os.path is not a Celery app."),
    ("E008", {}, {"USE_TZ": False}, "Without time zones"),
    ("W001", {}, {"MIDDLEWARE": []}, "no request IDs"),
    ("W002", {}, {"ROOT_URLCONF": __name__}, "the API is not among the URLs"),
]
UNSAFE: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    ("W004", {}, {"SECRET_KEY": "django-insecure-x"}, "made for development"),
    ("W005", {"PROVIDER_KEY_VARIABLES": ["*"]}, {}, "any environment variable"),
    ("W011", {}, {"STORAGES": DEFAULT_STORAGES}, "may be public"),
    ("W006", {"EMBEDDED": False, "WEBHOOK_PRIVATE_HOSTS": ["10.0.0.5"]}, {}, "hosts: 10.0.0.5."),
]


@pytest.mark.parametrize(("number", "own", "others", "says"), [*FAULTS, *UNSAFE])
def test_a_fault_has_an_id_a_reason_and_a_hint(
    number: str, own: dict[str, Any], others: dict[str, Any], says: str, settings: Settings
) -> None:
    configure(settings, **own)
    for name, value in others.items():
        setattr(settings, name, value)
    [message] = found(deploy=True)
    assert (message.id, says in message.msg) == (f"batches.{number}", True), message
    assert message.hint
    # What only matters on a server that others can reach is said of none else.
    is_unsafe = number in {row[0] for row in UNSAFE}
    assert found() == ([] if is_unsafe else [message])


def test_each_wrong_setting_is_an_error(settings: Settings) -> None:
    configure(settings, LEASE_SECONDS=0, GRACE_SECONDS=-1)
    assert [message.id for message in found(deploy=True)] == ["batches.E001", "batches.E001"]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> Iterator[None]:
    """Another database for the app, of a kind that it does not support."""
    options = {"elsewhere": {"ENGINE": "tests.host.unsupported_database", "NAME": ":memory:"}}
    configured = connections.configure_settings({"default": {}, **options})
    monkeypatch.setitem(connections.settings, "elsewhere", configured["elsewhere"])
    settings.DATABASE_ROUTERS = [f"{__name__}.Elsewhere"]
    yield
    del connections["elsewhere"]


def test_a_database_that_is_not_supported_is_refused(elsewhere: None) -> None:
    [message] = found()
    assert message.id == "batches.E002"
    assert "'elsewhere' of the batches is MySQL, which is not supported." in message.msg
    assert message.hint


def test_sqlite_must_make_writers_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert [message.id for message in found()] == ["batches.W007"]


def test_limits_in_a_redis_need_its_client(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure(settings, RATE_LIMIT_REDIS_URL="redis://localhost/0")
    assert found() == []
    monkeypatch.setitem(sys.modules, "redis", None)
    [message] = found()
    assert message.id == "batches.E003"
    assert 'pip install "threephase[redis]"' in (message.hint or "")


def test_a_celery_that_is_always_eager_has_no_workers(settings: Settings) -> None:
    configure(settings, DOORBELL="celery")
    app = import_string(project.BATCHES["TASKS_APP"])
    assert found() == []
    app.conf.task_always_eager = True
    try:
        assert [message.id for message in found()] == ["batches.W009"]
    finally:
        app.conf.task_always_eager = False


def test_postgresql_needs_the_driver_that_can_copy(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "vendor", "postgresql", raising=False)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    [message] = found()
    assert message.id == "batches.E007"
    assert 'pip install "threephase[postgres]"' in (message.hint or "")


def test_the_reference_page_needs_its_apps(settings: Settings) -> None:
    settings.INSTALLED_APPS = [a for a in settings.INSTALLED_APPS if "spectacular" not in a]
    [message] = found()
    assert message.id == "batches.W010"
    assert "drf_spectacular and drf_spectacular_sidecar" in message.msg


def test_a_theme_that_has_no_effect_is_named(settings: Settings) -> None:
    apps = [app for app in settings.INSTALLED_APPS if app != "unfold"]
    settings.INSTALLED_APPS = [*apps, "unfold"]
    assert [message.id for message in found()] == ["batches.W003"]


def test_the_docs_list_every_check() -> None:
    listed = re.findall(r"^\| `batches\.([EW]\d+)` \|", DOCS.read_text(), re.MULTILINE)
    assert listed == sorted(re.findall(r'id="batches\.([EW]\d+)"', CODE.read_text()))


def test_a_server_with_wrong_settings_does_not_start(settings: Settings) -> None:
    configure(settings, LEASE_SECONDS=0)
    with pytest.raises(ImproperlyConfigured, match="LEASE_SECONDS"):
        import_string(REQUEST_ID)(RedirectView.as_view())
