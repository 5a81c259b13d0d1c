"""Prompts in any form become an input file in the form of the Batch API, which workers read."""

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, BinaryIO

from django.conf import settings
from django.core.files.base import File as Bytes

from batches.engine.text.json_text import one_line
from batches.files.files import NewFile, store_file
from batches.inputs.prompt_files import (
    NO_PROMPTS,
    InputOptions,
    LineError,
    NewPrompt,
    read_prompts,
    too_many,
    twin,
)
from batches.intake.demand import Demand
from batches.models import File

# Nobody reads more errors than these at a time.
MAX_ERRORS = 100
# Of so many the ids are kept in memory, to find one that comes twice; of more, the workers do it.
IDS_IN_MEMORY = 200_000
SAMPLES = 3


class NotConverted(Exception):
    """An input that makes no batch, with what is wrong with each of its lines."""

    def __init__(self, errors: list[LineError]) -> None:
        super().__init__(f"{len(errors)} lines are wrong")
        self.errors = errors


@dataclass(slots=True)
class Converted:
    """What an input holds: how many prompts, of what kinds, and the first of them."""

    demand: Demand
    prompts: int = 0
    samples: list[NewPrompt] = field(default_factory=list)
    errors: list[LineError] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)

    def count(self, prompt: NewPrompt) -> None:
        self.prompts += 1
        self.demand.count(prompt)
        if len(self.samples) < SAMPLES:
            self.samples.append(prompt)


def convert(stream: BinaryIO, options: InputOptions, target: IO[bytes]) -> Converted:
    """Write the lines of an input file for these prompts. Raises NotConverted.

    Holds one line in memory, whatever the size of the input.
    """
    found = Converted(Demand(options.defaults, options.endpoint))
    _write(read_prompts(stream, options), options, target, found)
    if not found.prompts and not found.errors:
        found.errors.append(LineError(1, "empty_file", NO_PROMPTS))
    if found.errors:
        raise NotConverted(found.errors)
    return found


def store_converted(
    stream: BinaryIO, options: InputOptions, new: NewFile
) -> tuple[File, Converted]:
    """Store an input file of these prompts. Raises NotConverted, and stores nothing."""
    with tempfile.TemporaryFile(dir=settings.FILE_UPLOAD_TEMP_DIR) as target:
        found = convert(stream, options, target)
        target.seek(0)
        return store_file(new, Bytes(target, name=new.filename)), found


def _write(
    items: Iterable[NewPrompt | LineError],
    options: InputOptions,
    target: IO[bytes],
    found: Converted,
) -> None:
    for item in _checked(items, found):
        line = _line(item, options) if isinstance(item, NewPrompt) else b""
        if not isinstance(item, NewPrompt):
            found.errors.append(item)
        elif len(line) > options.max_line_bytes:
            found.errors.append(_too_long(item, options))
        else:
            found.count(item)
            target.write(line)
        if len(found.errors) >= MAX_ERRORS:
            return


def _checked(
    items: Iterable[NewPrompt | LineError], found: Converted
) -> Iterator[NewPrompt | LineError]:
    """The items, with an error in place of one too many, and of one whose custom_id was there."""
    for item in items:
        if not isinstance(item, NewPrompt):
            yield item
        elif found.prompts >= settings.MAX_PROMPTS_PER_BATCH:
            yield too_many(item, settings.MAX_PROMPTS_PER_BATCH)
            return
        elif item.custom_id in found.seen:
            yield twin(item)
        else:
            if len(found.seen) < IDS_IN_MEMORY:
                found.seen.add(item.custom_id)
            yield item


def _line(prompt: NewPrompt, options: InputOptions) -> bytes:
    # The body is JSON without line feeds already.
    head = json.dumps(
        {"custom_id": prompt.custom_id, "method": "POST", "url": options.endpoint},
        ensure_ascii=False,
    )
    line = one_line(f'{head[:-1]}, "body": {prompt.body}}}')
    return f"{line}\n".encode()


def _too_long(prompt: NewPrompt, options: InputOptions) -> LineError:
    most = f"{options.max_line_bytes} bytes (MAX_LINE_BYTES)"
    return prompt.fault("invalid_line", f"As a request, the {prompt.unit} is longer than {most}.")
