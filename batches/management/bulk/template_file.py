"""Read the template file of the bulk command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from batches.actions.batches import TemplateSource
from batches.actions.options import BatchOptions
from batches.conf import conf
from batches.engine.errors import PromptRejected
from batches.management.bulk.usage import UsageError

if TYPE_CHECKING:
    from batches.inputs.row_templates.images import ImageFolder
    from batches.inputs.row_templates.rendering import RowTemplate

MAX_FILE_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class GivenTemplate:
    """The template that --template names, compiled, and as it is stored."""

    row_template: "RowTemplate"
    source: TemplateSource
    images: "ImageFolder"

    def check_against(self, options: BatchOptions) -> None:
        """Raise UsageError if the endpoint or the default fields rule the template out."""
        from batches.inputs.row_templates.sources import TemplateRefused  # noqa: PLC0415 - lazily

        try:
            self.row_template.check_against(options.endpoint, options.defaults)
        except (PromptRejected, TemplateRefused) as error:
            raise UsageError(f"{self.source.name}: {error.message}") from error


def read_template(options: dict[str, Any]) -> GivenTemplate | None:
    """Return the template of the command, if one is given. Raise UsageError with its line."""
    if options["template"] is None:
        return None
    # Jinja takes long to load.
    from batches.inputs.row_templates.images import ImageFolder  # noqa: PLC0415 - with it
    from batches.inputs.row_templates.rendering import RowTemplate  # noqa: PLC0415 - takes long
    from batches.inputs.row_templates.sources import (  # noqa: PLC0415 - the same
        TemplateRefused,
        file_messages,
    )

    name = options["template"]
    file = None
    try:
        file = file_messages(_text_of(name))
        template = RowTemplate(file.messages, max_chars=conf().MAX_LINE_BYTES)
    except TemplateRefused as refused:
        line = file.line_of(refused) if file else None
        place = f"{name}, line {line}" if line else name
        raise UsageError(f"{place}: {refused.message}") from refused
    messages = [message.model_dump() for message in file.messages]
    # Base64 makes a third more of them.
    images = ImageFolder(Path(options["input"]).parent, conf().MAX_LINE_BYTES * 3 // 4)
    return GivenTemplate(template, TemplateSource(Path(name).name, messages), images)


def _text_of(name: str) -> str:
    try:
        with Path(name).open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(f"{name}: a template has at most {MAX_FILE_BYTES} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{name}, line {line}: the template is not UTF-8; save it so") from error
