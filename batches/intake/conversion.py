"""Convert prompts in any format to an input file of the Batch API, which workers read."""

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

# The most errors that are shown at once.
MAX_ERRORS = 100
# Up to this many ids are kept in memory to find duplicates; beyond that, the workers find them.
IDS_IN_MEMORY = 200_000
SAMPLES = 3


class NotConverted(Exception):
    """An input was refused, with the errors of its lines."""

    def __init__(self, errors: list[LineError]) -> None:
        super().__init__(f"{len(errors)} lines are invalid")
        self.errors = errors


@dataclass(slots=True)
class Converted:
    """The content of an input: the number of prompts, their demand, and the first prompts."""

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
    """Write the lines of an input file for these prompts. Raise NotConverted.

    Only one line is in memory at a time.
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
    """Store an input file of these prompts. Raise NotConverted and store nothing on errors."""
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
    """Yield the items, with errors for prompts beyond the limit and for duplicate custom_ids."""
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
    # The body is already JSON without line feeds.
    head = json.dumps(
        {"custom_id": prompt.custom_id, "method": "POST", "url": options.endpoint},
        ensure_ascii=False,
    )
    line = one_line(f'{head[:-1]}, "body": {prompt.body}}}')
    return f"{line}\n".encode()


def _too_long(prompt: NewPrompt, options: InputOptions) -> LineError:
    most = f"{options.max_line_bytes} bytes (MAX_LINE_BYTES)"
    return prompt.fault("invalid_line", f"As a request, the {prompt.unit} is longer than {most}.")
