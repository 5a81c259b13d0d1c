"""Preview and start a new batch from the form."""

import hashlib
import json
from dataclasses import dataclass

from django.core.files.base import File as Bytes

from batches.actions.batches import Origin, create_batch_of_file
from batches.actions.idempotency import Identity, create_once, digest_of, earlier
from batches.admin.batches.creation.form import BatchForm
from batches.admin.batches.creation.input_form import GONE, KEPT
from batches.database import transaction
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
    unexpired,
)
from batches.inputs.prompts import LineError
from batches.intake.checking import Checked, check_prompts
from batches.intake.demand import Estimate
from batches.intake.tally import InputRefused
from batches.limits.prices import price_list_of
from batches.models import Batch, File
from batches.users import User

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
    """Preview of a batch: number of prompts, first requests, estimated tokens and cost; with
    stronger models, the `most` that it may take."""

    address: str
    prompts: int
    estimate: Estimate
    most: Estimate | None
    requests: list[Prepared]


def preview(form: BatchForm) -> Preview:
    """Check all prompts without starting the batch. Raises InputRefused."""
    found = _checked(form)
    data = form.cleaned_data
    prices = price_list_of(data["provider"])
    stronger = [step.model for step in data["escalate"]]
    return Preview(
        address=data["provider"].base_url + data["endpoint"].removeprefix("/v1"),
        prompts=found.prompts,
        estimate=found.demand.estimate(prices),
        most=found.demand.estimate_escalated(prices, stronger) if stronger else None,
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
    file = form.kept or _input_of(form, user)
    created: list[Batch] = []

    def create() -> Batch:
        created.append(_batch_of(form, file, identity))
        return created[0]

    try:
        batch = create_once(identity, create)
    finally:
        if not created and file != form.kept:
            delete_file(file)
    forget_kept(form, user)
    return Started(batch, before=not created)


def _identity_of(form: BatchForm, user: User) -> Identity:
    with form.source() as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]  # has readinto()
    said = {name: form.data.get(name, "") for name in form.fields if name not in NOT_SAID}
    digest = digest_of({**said, "content": content})
    return Identity(owner=user, key=f"form-{form.nonce}", digest=digest)


def _input_of(form: BatchForm, user: User) -> File:
    """Store the prompts as they are; the batch says how to read them.

    The file expires unless a batch is created from it, also if this process is killed before that.
    """
    with form.source() as stream:
        return store_file(_kept(user, form.filename or PASTED), Bytes(stream, name=PASTED))


@transaction.around
def _batch_of(form: BatchForm, file: File, identity: Identity) -> Batch:
    """Create the batch and keep its input file from expiring. Raises InputRefused if it has."""
    if not unexpired().filter(pk=file.pk).update(purpose=BATCH, expires_at=None):
        raise InputRefused([LineError(0, "invalid_file", GONE)])
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
        template=form.template_source(otherwise=form.cleaned_data["name"] or form.filename),
    )


def keep_upload(form: BatchForm, user: User) -> None:
    """Store an uploaded file for an hour, since browsers do not send it again.

    It is stored unchanged: its format may be changed in the form until the batch is started.
    """
    forget_kept(form, user)
    if form.upload is None:
        return
    form.kept, form.upload = store_file(_kept(user, form.filename), form.upload), None


def forget_kept(form: BatchForm, user: User) -> None:
    """Delete an uploaded file that the user has replaced or removed, unless a batch uses it."""
    if form.kept is None:
        kept = File.objects.filter(owner=user, purpose=KEPT)
        for file in kept.filter(public_id=form.data.get("stored", "")):
            delete_file(file)


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
    with form.source() as stream:
        return check_prompts(stream, form.reading())


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
