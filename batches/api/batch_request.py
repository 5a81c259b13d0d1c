"""The body of a request for a new batch, and its limits."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, JsonValue

from batches.actions.batches import TemplateSource
from batches.actions.options import (
    RUN_OPTIONS,
    BatchOptions,
    MaxCost,
    MaxTokens,
    Pilot,
    RunOptions,
)
from batches.api.errors import ApiError
from batches.api.fields import shown
from batches.api.http.view import RequestModel
from batches.api.webhook_objects import Url
from batches.conf import conf
from batches.engine.endpoints import CHAT, ENDPOINTS, MAX_PATH_CHARS, endpoint_of
from batches.engine.errors import PromptRejected
from batches.engine.text.wording import named
from batches.files.files import LONGEST_LIFE_S, SHORTEST_LIFE_S
from batches.inputs.request_lines import LineRefused, check_depth
from batches.inputs.row_templates.rendering import RowTemplate
from batches.inputs.row_templates.sources import (
    MAX_TEMPLATE_CHARS,
    MAX_TEMPLATE_MESSAGES,
    TemplateMessage,
    TemplateRefused,
)
from batches.limits.escalation import Escalations
from batches.limits.rules import Rules
from batches.models.bounds import MAX_NAME_CHARS

LONGEST_WINDOW = timedelta(days=30)
MAX_KEY_CHARS = 255
_HOSTED_WINDOW = "24h"


def window_of(text: str) -> timedelta:
    """Return the duration of "36h" or "7d". Raise ValueError if the text is another."""
    number, unit = text[:-1], text[-1:]
    if number.isascii() and number.isdigit() and len(number) <= 3 and unit in ("h", "d"):
        window = timedelta(hours=int(number)) if unit == "h" else timedelta(days=int(number))
        if timedelta() < window <= LONGEST_WINDOW:
            return window
    raise ValueError("expected hours or days, such as '24h' or '7d', and at most 30 days")


def _with_version(path: object) -> object:
    return endpoint_of(path) if isinstance(path, str) and path.startswith("/") else path


def _checked_window(text: str) -> str:
    window_of(text)
    return text


def _checked_depth(value: dict[str, Any]) -> dict[str, Any]:
    try:
        check_depth(value)
    except LineRefused as error:
        raise ValueError(error.faults[0][1]) from error
    return value


# Paths that staff allow on a provider are checked when the provider is chosen.
Endpoint = Annotated[
    str,
    Field(
        max_length=MAX_PATH_CHARS,
        examples=list(ENDPOINTS),
        description="The path that the requests call. Staff can allow more paths on a provider.",
    ),
]
Window = Annotated[str, AfterValidator(_checked_window)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=16),
]


def _as_messages(value: object) -> object:
    return [{"role": "user", "content": value}] if isinstance(value, str) else value


_Messages = Annotated[list[TemplateMessage], Field(min_length=1, max_length=MAX_TEMPLATE_MESSAGES)]
_OneText = Annotated[str, Field(min_length=1, max_length=MAX_TEMPLATE_CHARS)]
TemplateMessages = Annotated[
    _Messages, BeforeValidator(_as_messages, json_schema_input_type=_OneText | _Messages)
]

StopWhen = Annotated[
    Rules,
    Field(
        description="The batch pauses when one of these rules is broken, from 20 outcomes on.",
        examples=[{"max_failed": 0.05, "max_cost_per_row": 0.002}],
    ),
]


class OutputExpiresAfter(RequestModel):
    """The time for which output files are kept after their creation, in seconds."""

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=SHORTEST_LIFE_S, le=LONGEST_LIFE_S)]


_NEW_BATCH: JsonValue = {
    "prompts": ["Why is the sky blue?", "Why is the sea salt?"],
    "body": {"model": "simulated-small"},
    "metadata": {"project": "greetings"},
}


class CreateBatch(RunOptions, RequestModel):
    """A new batch, from an uploaded file or from `requests` or `prompts` in the body."""

    model_config = ConfigDict(json_schema_extra={"examples": [_NEW_BATCH]})
    any_text: ClassVar[frozenset[str]] = frozenset({"requests", "prompts"})

    input_file_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    requests: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    prompts: Annotated[list[str], Field(min_length=1)] | None = None
    endpoint: Annotated[Endpoint, BeforeValidator(_with_version)] = CHAT
    completion_window: Window | None = None
    name: Annotated[
        str | None,
        Field(max_length=MAX_NAME_CHARS, description="For people; by default the input file's."),
    ] = None
    metadata: Metadata | None = None
    output_expires_after: OutputExpiresAfter | None = None
    callback_url: Annotated[
        Url | None, Field(description="Receives an event when this batch ends.")
    ] = None

    template: Annotated[
        TemplateMessages | None,
        Field(
            description="Makes a prompt of each row of the input file, a table: messages in the "
            "language of Jinja, with the names of columns. A string is one user message.",
        ),
    ] = None
    template_name: Annotated[
        str | None,
        Field(
            max_length=MAX_NAME_CHARS,
            description="The name that versions of the template share; by default the batch's.",
        ),
    ] = None

    provider: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    body: Annotated[dict[str, Any], AfterValidator(_checked_depth)] = Field(default_factory=dict)
    idempotency_key: Annotated[str, Field(min_length=1, max_length=MAX_KEY_CHARS)] | None = None
    pilot: Annotated[
        Pilot | None,
        Field(description="A sample of the prompts that is run first."),
        shown({"rows": 50, "continue_when": {"max_failed": 0.05}}),
    ] = None
    stop_when: StopWhen | None = None
    escalate: Annotated[Escalations | None, shown([{"model": "simulated-large"}])] = None

    def check_source(self) -> None:
        """Raise ApiError unless the body has exactly one source of prompts."""
        given = [
            name
            for name in ("input_file_id", "requests", "prompts")
            if getattr(self, name) is not None
        ]
        if not given:
            raise ApiError(
                400,
                "Missing required parameter: 'input_file_id' (or 'requests', or 'prompts').",
                code="missing_required_parameter",
                param="input_file_id",
            )
        if len(given) > 1:
            raise ApiError(
                400,
                f"Give only one of 'input_file_id', 'requests' and 'prompts', not {len(given)}: "
                f"{named(given)}.",
                code="invalid_value",
                param=given[1],
            )
        self._check_template()

    def _check_template(self) -> None:
        if self.template is not None and self.input_file_id is None:
            message = (
                "'template' makes prompts of the rows of a table: give it as an uploaded file, in "
                "'input_file_id'."
            )
            raise ApiError(400, message, code="invalid_value", param="template")
        if self.template is None and self.template_name is not None:
            message = "'template_name' is the name of a 'template': give both, or neither."
            raise ApiError(400, message, code="invalid_value", param="template_name")

    def template_columns(self) -> Sequence[str]:
        """Return the columns that the template names. Raise ApiError if it cannot be used."""
        messages = self.template or ()
        try:
            template = RowTemplate(messages, max_chars=conf().MAX_LINE_BYTES)
            template.check_against(self.endpoint, self.body)
        except TemplateRefused as refused:
            raise _refused_template(refused, count=len(messages)) from refused
        except PromptRejected as error:
            raise ApiError(400, error.message, code=error.code, param=error.param) from error
        return template.columns

    def check_pilot(self) -> None:
        """Raise ApiError for a pilot by a column if there is no table with columns."""
        if self.pilot and self.pilot.by is not None and self.template is None:
            message = "Invalid value for 'pilot.by': only rows of a table have columns; give a "
            message += "'template'."
            raise ApiError(400, message, code="invalid_value", param="pilot.by")

    def template_source(self) -> TemplateSource:
        """Return the template as it is stored, under its name or the name of the batch."""
        name = self.name if self.template_name is None else self.template_name
        return TemplateSource(name or "", [one.model_dump() for one in self.template or ()])

    def options(self) -> BatchOptions:
        """Return the run options of the batch."""
        window = self.completion_window
        if window is None and self.input_file_id is not None:
            window = _HOSTED_WINDOW
        expiry = self.output_expires_after
        return BatchOptions(
            **{name: getattr(self, name) for name in RUN_OPTIONS},
            endpoint=self.endpoint,
            defaults=self.body,
            completion_window=window_of(window) if window else None,
            output_expires_after_s=expiry.seconds if expiry else None,
            name=self.name or "",
            metadata=self.metadata or {},
            callback_url=self.callback_url or "",
            pilot=self.pilot,
            stop_when=self.stop_when,
            escalate=self.escalate or [],
        )


def _refused_template(refused: TemplateRefused, *, count: int) -> ApiError:
    place = "template"
    if refused.number is not None and count > 1:
        place = f"template[{refused.number}].content"
    line = f", line {refused.line}" if refused.line else ""
    message = f"Invalid value for '{place}'{line}: {refused.message}"
    return ApiError(400, message, code="invalid_template", param=place)


class ResumeBatch(RequestModel):
    """A larger budget for a batch that paused because its budget is spent, or other rules for one
    that broke a rule; null takes the rules away."""

    max_cost: Annotated[MaxCost | None, shown(25.0)] = None
    max_tokens_total: MaxTokens | None = None
    stop_when: StopWhen | None = None

    @property
    def rules(self) -> Rules | None:
        """Return the new rules; without any bound, they take the old ones away."""
        return self.stop_when or (Rules() if "stop_when" in self.model_fields_set else None)
