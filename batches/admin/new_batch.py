"""A batch is made: looked at first, if that is wanted, then started."""

import io
import json
import os
from dataclasses import dataclass
from typing import BinaryIO, cast

from django.contrib.auth.models import User

from batches.admin.batch_form import BatchForm
from batches.conversion import Converted, convert, store_converted
from batches.demand import Estimate
from batches.engine.prepare import prepare_prompt_request
from batches.engine.records import Outcome, PromptSpec
from batches.files import BATCH, SHORTEST_LIFE_S, FileRefused, NewFile, safe_filename, unexpired
from batches.inputs import InputOptions
from batches.models import Batch, File
from batches.services import Origin, create_batch_of_file

GONE = "The file of the preview is not kept for longer than an hour. Choose it again."


class PreviewGone(Exception):
    """The file that was stored for the preview is there no more."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request as it would be sent, or why it would not."""

    custom_id: str
    request: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a batch would be: how many prompts, the first requests, about how many tokens."""

    address: str
    prompts: int
    estimate: Estimate
    requests: list[Prepared]
    file: File | None


def preview(form: BatchForm, user: User) -> Preview:
    """Look at all prompts and start nothing; an uploaded file is kept for an hour.

    Raises NotConverted and PreviewGone.
    """
    file = None
    if form.cleaned_data["file"]:
        file, found = _store(form, user, keep_s=SHORTEST_LIFE_S)
    elif form.cleaned_data["prompts"].strip():
        found = _look(_pasted(form), form.reading())
    else:
        file = _stored(form, user)
        with file.content.open("rb") as stream:
            found = _look(cast(BinaryIO, stream), form.reading_stored())
    data = form.cleaned_data
    return Preview(
        address=data["provider"].base_url + data["endpoint"].removeprefix("/v1"),
        prompts=found.prompts,
        estimate=found.demand.estimate(data["provider"].price_list),
        requests=[_prepared(form, prompt) for prompt in _samples(found)],
        file=file,
    )


def start(form: BatchForm, user: User) -> Batch:
    """Make the batch. Raises NotConverted and PreviewGone."""
    if form.cleaned_data["file"] or form.cleaned_data["prompts"].strip():
        file, _ = _store(form, user, keep_s=None)
    else:
        file = _stored(form, user)
        File.objects.filter(pk=file.pk).update(expires_at=None)
    return create_batch_of_file(
        form.cleaned_data["provider"],
        file,
        file.public_id,
        form.options(),
        origin=Origin(owner=user),
    )


def _store(form: BatchForm, user: User, *, keep_s: int | None) -> tuple[File, Converted]:
    upload = form.cleaned_data["file"]
    new = NewFile(
        owner=user,
        purpose=BATCH,
        filename=_filename(upload.name) if upload else "pasted.jsonl",
        expires_after_s=keep_s,
    )
    stream = upload.file if upload else _pasted(form)
    stream.seek(0)
    return store_converted(stream, form.reading(), new)


def _filename(name: str) -> str:
    try:
        stem = safe_filename(name).rpartition(".")[0] or "upload"
    except FileRefused:
        stem = "upload"
    return f"{stem}.jsonl"


def _pasted(form: BatchForm) -> BinaryIO:
    return io.BytesIO(form.cleaned_data["prompts"].encode(errors="replace"))


def _stored(form: BatchForm, user: User) -> File:
    name = form.cleaned_data["stored"].replace("\0", "")
    file = unexpired().filter(owner=user, purpose=BATCH, public_id=name).first()
    if file is None:
        raise PreviewGone
    return file


def _look(stream: BinaryIO, options: InputOptions) -> Converted:
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - no path
        return convert(stream, options, nowhere)


def _samples(found: Converted) -> list[PromptSpec]:
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
