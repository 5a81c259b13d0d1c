"""Preview and start a new batch from the form."""

import hashlib
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

from django.contrib.auth.models import User
from django.core.files.base import File as Bytes
from django.db import transaction

from batches.actions.batches import Origin, create_batch_of_file
from batches.actions.idempotency import Identity, create_once, digest_of, earlier
from batches.admin.batches.form import KEPT, BatchForm
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import Outcome, PromptSpec
from batches.files.files import (
    BATCH,
    SHORTEST_LIFE_S,
    FileRefused,
    NewFile,
    delete_file,
    safe_filename,
    store_file,
)
from batches.intake.checking import Checked, check_prompts
from batches.intake.demand import Estimate
from batches.limits.prices import price_list_of
from batches.models import Batch, File

# Fields left out of the digest: the prompts are hashed by content, the rest does not matter.
NOT_SAID = frozenset({"once", "prompts", "file", "stored", "drop_stored"})
# The name of pasted prompts as a file.
PASTED = "pasted.txt"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as it would be sent, or the problem that prevents it."""

    custom_id: str
    request: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """Preview of a batch: number of prompts, first requests, estimated tokens and cost."""

    address: str
    prompts: int
    estimate: Estimate
    requests: list[Prepared]


def preview(form: BatchForm) -> Preview:
    """Check all prompts without starting the batch. Raises InputRefused."""
    found = _checked(form)
    data = form.cleaned_data
    return Preview(
        address=data["provider"].base_url + data["endpoint"].removeprefix("/v1"),
        prompts=found.prompts,
        estimate=found.demand.estimate(price_list_of(data["provider"])),
        requests=[_prepared(form, prompt) for prompt in _samples(found)],
    )


@dataclass(frozen=True, slots=True)
class Started:
    """A batch; `before` is True if an earlier press of the same form started it."""

    batch: Batch
    before: bool


def start(form: BatchForm, user: User) -> Started:
    """Create the batch, unless this form already did. Raises InputRefused and KeyReused."""
    identity = _identity_of(form, user)
    if found := earlier(identity):
        return Started(found, before=True)
    _checked(form)
    file = _input_of(form, user)
    used = False
    try:
        batch = create_once(identity, partial(_batch_of, form, file, identity))
        used = batch.input_file_id == file.pk
    finally:
        if not used:
            delete_file(file)
    return Started(batch, before=not used)


def _identity_of(form: BatchForm, user: User) -> Identity:
    with _source(form) as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto()
    said = {name: form.data.get(name, "") for name in form.fields if name not in NOT_SAID}
    digest = digest_of({**said, "content": content})
    return Identity(owner=user, key=f"form-{form.nonce}", digest=digest)


def _input_of(form: BatchForm, user: User) -> File:
    """Store the prompts as they are; the batch says how to read them.

    The file expires unless a batch is created from it, also if this process is killed before that.
    """
    with _source(form) as stream:
        return store_file(_kept(user, form.filename or PASTED), Bytes(stream, name=PASTED))


@transaction.atomic
def _batch_of(form: BatchForm, file: File, identity: Identity) -> Batch:
    """Create the batch and keep its input file from expiring."""
    File.objects.filter(pk=file.pk).update(purpose=BATCH, expires_at=None)
    file.refresh_from_db()
    reading = form.reading()
    return create_batch_of_file(
        form.cleaned_data["provider"],
        file,
        file.public_id,
        form.options(),
        origin=Origin(identity.owner, identity.key, identity.digest),
        input_format=reading.format,
        input_column=reading.column,
    )


def keep_upload(form: BatchForm, user: User) -> None:
    """Store an uploaded file for an hour, since browsers do not send it again.

    It is stored unchanged: its format may be changed in the form until the batch is started.
    """
    if form.upload is None:
        return
    form.kept, form.upload = store_file(_kept(user, form.filename), form.upload), None


def _kept(user: User, name: str) -> NewFile:
    try:
        shown = safe_filename(name)
    except FileRefused:
        shown = "upload"
    return NewFile(owner=user, purpose=KEPT, filename=shown, expires_after_s=SHORTEST_LIFE_S)


def keep_for_an_hour(user: User, name: str, content: "Bytes[bytes]") -> File:
    """Store a file for the form of this user. Raise FileRefused."""
    return store_file(_kept(user, name), content)


def _checked(form: BatchForm) -> Checked:
    with _source(form) as stream:
        return check_prompts(stream, form.reading())


@contextmanager
def _source(form: BatchForm) -> Iterator[BinaryIO]:
    """Open the pasted or uploaded prompts at their beginning."""
    if form.upload is not None:
        form.upload.seek(0)
        yield cast(BinaryIO, form.upload.file)
    elif form.kept is not None:
        with form.kept.content.open("rb") as stream:
            yield cast(BinaryIO, stream)
    else:
        yield io.BytesIO(form.pasted.encode(errors="replace"))


def _samples(found: Checked) -> list[PromptSpec]:
    return [
        PromptSpec(index=n, custom_id=prompt.custom_id, body=json.loads(prompt.body))
        for n, prompt in enumerate(found.samples)
    ]


def _prepared(form: BatchForm, prompt: PromptSpec) -> Prepared:
    prepared = prepare_prompt_request(
        prompt, endpoint=form.cleaned_data["endpoint"], defaults=form.defaults()
    )
    if isinstance(prepared, Outcome):
        return Prepared(prompt.custom_id, "", prepared.message)
    text = json.dumps(json.loads(prepared.content), indent=2, ensure_ascii=False)
    return Prepared(prompt.custom_id, text)
