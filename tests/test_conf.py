"""The settings of the app: typed, checked, listed in the docs, and the project's own."""

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from pydantic.fields import FieldInfo
from pytest_django.fixtures import Settings

from batches.conf import MIB, BatchesSettings, checked, conf, faults
from config.environment import settings_of_app
from tests.configuring import configure

ROOT = Path(project.BASE_DIR)
PAGE = (ROOT / "docs" / "settings.md").read_text()
SECRET = "canary" * 8


def test_a_project_needs_no_setting(settings: Settings) -> None:
    del settings.BATCHES
    conf.cache_clear()
    assert conf() == BatchesSettings()
    conf.cache_clear()


def test_the_defaults_are_safe_for_any_project() -> None:
    default = BatchesSettings()
    assert default.PROVIDER_PRIVATE_HOSTS == default.WEBHOOK_PRIVATE_HOSTS == ()
    assert (default.RATE_LIMIT_REDIS_URL, default.DATA_DIR, default.EMBEDDED) == ("", None, False)
    assert checked(default.model_dump()) == default


def test_a_change_of_the_settings_holds_at_once(settings: Settings) -> None:
    configure(settings, LEASE_SECONDS=7)
    assert conf().LEASE_SECONDS == 7
    with override_settings(BATCHES={"LEASE_SECONDS": 8}):
        assert conf() == BatchesSettings(LEASE_SECONDS=8)
    assert conf().LEASE_SECONDS == 7


def test_lists_and_paths_may_be_texts() -> None:
    taken = checked({"PROVIDER_PRIVATE_HOSTS": ["10.0.0.5"], "DATA_DIR": "/srv/data"})
    assert taken.PROVIDER_PRIVATE_HOSTS == ("10.0.0.5",)
    assert Path("/srv/data") == taken.DATA_DIR


WRONG: list[tuple[Any, str]] = [
    (None, "BATCHES must be a dict, such as "),
    ({"LEASE_SECOND": 1}, 'BATCHES["LEASE_SECOND"] is not a setting. Did you mean \'LEASE_SECONDS'),
    ({"XYZZY": 1}, 'BATCHES["XYZZY"] is not a setting. Remove it.'),
    ({7: 1}, 'BATCHES["7"] '),
    ({"LEASE_SECONDS": 0}, 'BATCHES["LEASE_SECONDS"]: input should be greater than 0. It is: '),
    ({"LEASE_SECONDS": "60"}, 'BATCHES["LEASE_SECONDS"]: input should be a valid integer. '),
    ({"LEASE_SECONDS": True}, 'BATCHES["LEASE_SECONDS"]: input should be a valid integer. '),
    ({"GRACE_SECONDS": -1}, "Leave it out for the default, 25."),
    ({"PROVIDER_PRIVATE_HOSTS": "10.0.0.5"}, "input should be a valid tuple. "),
    ({"LEASE_SECONDS": 10**30}, "less than or equal to"),
    ({"REUSE_DAYS": 36_501}, "less than or equal to"),
    ({None: 1}, 'BATCHES["None"] is not a setting.'),
    ({b"LEASE_SECONDS": 1}, "is not a setting. "),
    ({"PROVIDER_PROXY": None}, "input should be a valid string. "),
    ({"FIELD_ENCRYPTION_KEYS": [SECRET, "short"]}, "`openssl rand -hex 32` makes one"),
    ({"FIELD_ENCRYPTION_KEYS": SECRET}, "input should be a valid tuple. "),
]


@pytest.mark.parametrize(("given", "says"), WRONG)
def test_a_wrong_setting_is_named_with_its_remedy(
    given: Any, says: str, settings: Settings
) -> None:
    settings.BATCHES = given
    with pytest.raises(ImproperlyConfigured) as caught:
        conf()
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert SECRET not in str(caught.value)


def test_each_wrong_setting_has_a_line() -> None:
    found = faults({"LEASE_SECONDS": 0, "SLICE_SECONDS": 1, "FIELD_ENCRYPTION_KEYS": ["", ""]})
    assert [line[:20] for line in found] == ['BATCHES["LEASE_SECON', 'BATCHES["FIELD_ENCRY']


def test_this_project_takes_settings_from_its_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "LEASE_SECONDS": "5",
        "PROVIDER_PRIVATE_HOSTS": "10.0.0.5,vllm.internal",
        "PROVIDER_CA_BUNDLE": "system",
        # Decided by the project.
        "EMBEDDED": "true",
    }
    for name in BatchesSettings.model_fields:
        monkeypatch.delenv(name, raising=False)
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    assert settings_of_app() == {
        "LEASE_SECONDS": 5,
        "PROVIDER_PRIVATE_HOSTS": ["10.0.0.5", "vllm.internal"],
        "PROVIDER_CA_BUNDLE": "system",
    }
    monkeypatch.setenv("LEASE_SECONDS", "soon")
    with pytest.raises(ImproperlyConfigured, match="LEASE_SECONDS=soon must be a whole number"):
        settings_of_app()


def shown_default(field: FieldInfo) -> str:
    default = field.default
    match default:
        case bool():
            return f"`{default}`"
        case int() if default >= MIB and default % MIB == 0:
            return f"{default // MIB:,} MiB"
        case int():
            return f"{default:,}"
        case tuple() if default:
            return f"`{list(default)}`"
    return f"`{default}`" if default else "none"


def test_the_table_in_the_docs_is_made_of_the_settings() -> None:
    lines = [
        f"| `{name}` | {shown_default(field)} | {field.description} |"
        for name, field in BatchesSettings.model_fields.items()
    ]
    found = re.findall(r"^\| `[A-Z].*\|$", PAGE, re.MULTILINE)
    table = "\n".join(lines)
    assert found == lines, f"put this table into docs/settings.md:\n{table}"
