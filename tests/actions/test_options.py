"""Every entrance offers the same options of a batch, with one bound, default and help each."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management.base import CommandParser
from pydantic import ValidationError

from batches.actions.options import RUN_OPTIONS, BatchOptions, Option
from batches.admin.batches.creation.form import BatchForm
from batches.api.batch_request import CreateBatch
from batches.management.bulk.options import add_bulk_options
from batches.models import Batch

API_DOCS = (Path(settings.BASE_DIR) / "docs" / "api.md").read_text()
NUMBERS = {name: one for name, one in RUN_OPTIONS.items() if one.most is not None}
SWITCHES = {name for name, one in RUN_OPTIONS.items() if isinstance(one.default, bool)}
FLAGS = {
    "batch_size": "--batch-size",
    "schedule": "--schedule",
    "order": "--order",
    "reuse": "--reuse",
    "max_attempts": "--max-attempts",
    "timeout_s": "--timeout",
    "max_cost": "--max-cost",
    "max_tokens_total": "--max-tokens-total",
    "extract_json": "--no-extract",
    "repair_json": "--no-repair",
    "max_repair_attempts": "--max-repair-attempts",
    "strict_schemas": "--strict-schema",
}
# The process of the command runs its batch alone, and at once.
NOT_IN_COMMAND = {"parallelism", "priority"}


def in_python(name: str, value: float) -> bool:
    try:
        BatchOptions.model_validate({name: value})
    except ValidationError:
        return False
    return True


def in_api(name: str, value: float) -> bool:
    try:
        CreateBatch.model_validate({name: value})
    except ValidationError as error:
        return not any(fault["loc"] == (name,) for fault in error.errors())
    return True


def in_admin(name: str, value: float) -> bool:
    form = BatchForm(User(), {name: repr(value)})
    return name not in form.errors


def in_command(name: str, value: float) -> bool:
    parser = CommandParser(called_from_command_line=True, exit_on_error=False)
    add_bulk_options(parser)
    try:
        parser.parse_args(["in", "--output", "out", f"{FLAGS[name]}={value!r}"])
    except (argparse.ArgumentError, SystemExit):
        return False
    return True


ENTRANCES: dict[str, Callable[[str, float], bool]] = {
    "python": in_python,
    "api": in_api,
    "admin": in_admin,
    "command": in_command,
}


def tried(option: Option) -> list[tuple[float, bool]]:
    """Return values at the edges of an option, and whether each is within."""
    assert option.most is not None
    is_whole = isinstance(option.most, int)
    step = 1 if is_whole else option.most / 1000
    edges: list[tuple[float, bool]] = [(option.most, True), (option.most + step, False)]
    if option.least is not None:
        below = option.least - 1 if is_whole else option.least / 2
        edges += [(option.least, True), (below, False)]
    if option.above is not None:
        edges += [(option.above, False), (option.above + step, True)]
    return edges


@pytest.mark.django_db
@pytest.mark.parametrize("entrance", ENTRANCES)
@pytest.mark.parametrize("name", NUMBERS)
def test_every_entrance_has_the_same_bounds(name: str, entrance: str) -> None:
    if entrance == "command" and name in NOT_IN_COMMAND:
        assert name not in FLAGS
        return
    for value, is_within in tried(NUMBERS[name]):
        assert ENTRANCES[entrance](name, value) == is_within, value


def test_every_entrance_has_every_option() -> None:
    assert set(RUN_OPTIONS) == set(FLAGS) | NOT_IN_COMMAND
    assert set(RUN_OPTIONS) <= set(CreateBatch.model_fields)
    assert set(RUN_OPTIONS) <= set(BatchForm.base_fields)
    assert set(RUN_OPTIONS) <= {field.name for field in Batch._meta.get_fields()}
    assert {"extract_json", "repair_json", "strict_schemas"} == SWITCHES


@pytest.mark.parametrize("name", RUN_OPTIONS)
def test_defaults_and_help_stand_once(name: str) -> None:
    option = RUN_OPTIONS[name]
    in_schema: dict[str, Any] = CreateBatch.model_json_schema()["properties"][name]
    in_form = BatchForm.base_fields[name]
    assert in_schema["default"] == option.default
    assert in_form.help_text == option.help
    assert in_form.initial in (option.default, None if name == "schedule" else option.default)
    assert getattr(Batch(), name) == option.default
    assert option.help[0].isalpha()
    assert option.help.endswith(".")


def shown(default: object) -> str:
    """Return a default as the docs have it."""
    if default is None:
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default).lower()


@pytest.mark.parametrize("name", RUN_OPTIONS)
def test_the_docs_of_the_api_say_the_same(name: str) -> None:
    option = RUN_OPTIONS[name]
    row = next(line for line in API_DOCS.splitlines() if line.startswith(f"| `{name}` |"))
    default, meaning = (cell.strip() for cell in row.split("|")[2:4])
    assert meaning.startswith(option.help)
    assert default.strip("`") == (
        ""
        if option.default is None
        else f"{option.default:g}"
        if isinstance(option.default, float)
        else str(option.default).lower()
    )
    if option.most is not None:
        assert meaning.endswith(f" to {option.most:,.15g}.")
