"""Run a batch again with changes: the form for a new batch, filled in from an earlier one."""

import tempfile
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.files.base import File as Bytes

from batches.actions.options import RUN_OPTIONS
from batches.admin.batches.creation.input_form import KEPT
from batches.admin.batches.creation.new_batch import PASTED, keep_for_an_hour
from batches.admin.batches.creation.template_fields import CHOSEN, texts_of
from batches.conf import conf
from batches.engine.endpoints import rules_of
from batches.engine.errors import PromptRejected
from batches.engine.prepare import with_response_schema, without_system_prompt
from batches.errors import NotPossible
from batches.files.files import FileRefused, unexpired
from batches.limits.escalation import escalations_of
from batches.models import Batch, File
from batches.models.answer import rows_of
from batches.output.jsonl import prompt_line
from batches.reuse.earlier_batch import remember
from batches.users import User

# Longer pasted prompts come back as a file.
MOST_PASTED_BYTES = 64 * 1024
PROMPTS_AT_ONCE = 1000
# Finding the answers of more prompts would keep the browser waiting.
MOST_REMEMBERED = 100_000


def keep_prompts(batch: Batch, user: User) -> File:
    """Store the prompts of a batch as a file that the form of this user can use for an hour.

    They are copied from its input file, or from its rows if that file is gone: the rows of the
    table for a batch with a template, else the requests. Raise NotPossible if there are no prompts,
    or more than a file may hold, or if they are about rows that a new batch would not write.
    """
    if label := rows_of(batch):
        raise NotPossible(
            f"The answers of this batch are written into rows of {label}. A new batch of the same "
            "prompts would be paid for and write nothing: choose the rows again in their list, or "
            "call enrich again."
        )
    try:
        if batch.input_file is not None:
            _check_size(batch.input_file.bytes)
            with batch.input_file.content.open("rb") as content:
                return keep_for_an_hour(user, batch.input_file.filename, content)
        # Without a name, so that nothing is left of it if this process is killed.
        with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as target:
            for line in _lines(batch):
                target.write(line)
                _check_size(target.tell())
            target.flush()
            name = f"{batch.public_id}.jsonl"
            return keep_for_an_hour(user, name, Bytes(target, name=name))
    except (FileRefused, FileNotFoundError) as error:
        raise NotPossible("The batch has no prompts that could be run again.") from error


def _check_size(size: int) -> None:
    """Raise NotPossible if the form could not take so large a file."""
    if size > conf().MAX_FILE_BYTES:
        raise NotPossible(
            f"The prompts have more than {conf().MAX_FILE_BYTES} bytes (MAX_FILE_BYTES). Run "
            "them again from the API or the command line."
        )


def _lines(batch: Batch) -> Iterator[bytes]:
    prompts, after = batch.prompts.order_by("index"), -1
    columns = prompts.values_list("index", "custom_id", "body", "row")
    while page := list(columns.filter(index__gt=after)[:PROMPTS_AT_ONCE]):
        after = page[-1][0]
        for _, custom_id, body, row in page:
            line = row if batch.template_id else prompt_line(custom_id, batch.endpoint, body)
            yield f"{line}\n".encode()


def prepare_reuse(batch: Batch, user: User) -> str:
    """Keep the answers of a batch for a new one of this user; return a sentence on the result."""
    if batch.owner_id != user.pk:
        return (
            "Answers are used again within one owner. The new batch will be yours and this one is "
            "not, so all of its rows are sent and paid for."
        )
    if batch.total > MOST_REMEMBERED:
        return (
            f"Answers of batches of more than {MOST_REMEMBERED:,} rows are used again only if they "
            "ran with the option to use answers again, or by process_batch --since."
        )
    try:
        remember(batch)
    except NotPossible:
        return "The batch has not ended, so its answers may not be used again."
    return "Answers of the batch are used again: rows that it has are not paid for a second time."


def kept_file(user: User, file_id: str) -> File | None:
    """Return a file that was kept for the form of this user, if it has not expired."""
    return unexpired().filter(owner=user, purpose=KEPT, public_id=file_id).first()


def pasted_text(file: File) -> str:
    """Return the prompts that were pasted as this file; empty if they are long, or a real file."""
    if file.filename != PASTED or file.bytes > MOST_PASTED_BYTES:
        return ""
    with file.content.open("rb") as content:
        return bytes(content.read()).decode("utf-8", "replace")


def initial_of(batch: Batch, source: Batch) -> dict[str, Any]:
    """Return the fields of the form that describe a batch, and how to read the prompts of `source`,
    which is the same batch or another."""
    window = batch.completion_window
    rows = {"format": source.input_format or "jsonl", "column": source.input_column or "prompt"}
    return {
        **{name: getattr(batch, name) for name in RUN_OPTIONS},
        # Prompts that never were in a file come from their rows.
        **(rows if source.input_file else {"format": "jsonl"}),
        **_defaults_of(batch),
        **({CHOSEN: batch.template_id, **texts_of(batch.template)} if batch.template else {}),
        "name": batch.name,
        "provider": batch.provider_id,
        "endpoint": batch.endpoint,
        "pilot": batch.pilot_rows,
        "pilot_by": batch.pilot_by,
        "stop_when": _rules_of(batch),
        "escalate": "\n".join(map(str, escalations_of(batch.escalate))),
        "completion_hours": round(window.total_seconds() / 3600) if window else None,
    }


def _rules_of(batch: Batch) -> str:
    """Return the rules of a batch as the form has them."""
    rules = batch.stop_when or {}
    return ",".join(f"{name}={bound}" for name, bound in rules.items())


def _defaults_of(batch: Batch) -> dict[str, Any]:
    """Return the default fields as the form has them: model, system prompt, schema, the rest."""
    others = dict(batch.defaults)
    model = others.pop("model") if isinstance(others.get("model"), str) else ""
    others, system = without_system_prompt(others, endpoint=batch.endpoint)
    schema, rest = _schema_of(others, batch.endpoint)
    return {"model": model, "system": system, "schema": schema, "parameters": rest or None}


def _schema_of(defaults: dict[str, Any], endpoint: str) -> tuple[Any, dict[str, Any]]:
    """Return the schema in the defaults and the rest, if the form makes the same of both again."""
    place = rules_of(endpoint).schema
    rest = dict(defaults)
    found = rest.pop(place.at[0], None) if place else None
    for step in place.at[1:] if place else ():
        found = found.get(step) if isinstance(found, dict) else None
    if place and place.is_nested and isinstance(found, dict):
        found = found.get("json_schema")
    try:
        if found and with_response_schema(rest, endpoint=endpoint, schema=found) == defaults:
            return found, rest
    except PromptRejected:
        pass
    return None, defaults
