"""/v1/batches: create, read, cancel, resume, retry and delete batches."""

from collections.abc import Sequence
from functools import partial

from django.urls import path
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from batches.actions import batches as batch_actions
from batches.actions.idempotency import Identity, KeyReused, create_once, digest_of
from batches.actions.option_checks import NoPrice
from batches.api.batch_filters import PARAMETERS as FILTERS
from batches.api.batch_filters import chosen_batches
from batches.api.batch_object import (
    BatchObject,
    BatchPage,
    CreatedBatch,
    DeletedBatch,
    batch_object,
    listed_batch,
    listed_batches,
    readable_batches,
)
from batches.api.batch_request import MAX_KEY_CHARS, CreateBatch, ResumeBatch
from batches.api.errors import ApiError
from batches.api.http.pages import list_page
from batches.api.http.view import ApiView, documented, find, for_user, owner_of, parse_body, reply
from batches.api.webhook_objects import WebhookDeliveryPage
from batches.api.webhooks import PAGE_PARAMETERS as DELIVERY_PARAMETERS
from batches.api.webhooks import delivery_page, url_refused
from batches.conf import conf
from batches.engine.structured.schema_bill import CHECKED_BYTES
from batches.engine.text.wording import quoted
from batches.files.files import unexpired
from batches.inputs.input_formats import TABLES, named_format
from batches.inputs.prompt_files import InputOptions, prompts_of_objects, prompts_of_texts
from batches.inputs.prompts import LineError, NewPrompt
from batches.intake.reading import model_of, table_format_of
from batches.intake.tally import InputRefused
from batches.models import Batch, File, Provider, WebhookDelivery
from batches.providers.routing import NoProvider, any_provider, check_endpoint, choose_provider
from batches.users import is_staff
from batches.webhooks.endpoints import UrlRefused, callback_secret, check_url

DEFAULT_LIMIT = 20
MAX_LIMIT = 100

Items = Sequence[NewPrompt | LineError]


class BatchesView(ApiView):
    """All batches of a user."""

    @documented(
        operation_id="create_batch",
        summary="Create a batch",
        request=CreateBatch,
        responses={200: CreatedBatch},
        parameters=[
            OpenApiParameter(
                "Idempotency-Key",
                {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARS},
                OpenApiParameter.HEADER,
                description="Repeating a request with the same key and body returns its batch.",
            )
        ],
    )
    def post(self, request: Request) -> Response:
        """Create a batch from an uploaded file, or from `requests` or `prompts` in the body.

        A worker reads the file; until then the batch is `validating`. Prompts in the body are
        checked at once.
        """
        asked = parse_body(request, CreateBatch)
        asked.check_source()
        asked.check_pilot()
        identity = identity_of(request, asked)
        try:
            batch = create_once(identity, partial(create, request, asked, identity))
        except KeyReused as error:
            raise ApiError(
                409,
                f"The idempotency_key {quoted(identity.key or '')} was used before, with another "
                "request. Send the same request, or another key.",
                code="idempotency_key_reused",
                param="idempotency_key",
            ) from error
        # Return the batch as it was created: a worker may have changed it already.
        made = batch_object(batch)
        if not batch.callback_url:
            return reply(made)
        return reply(CreatedBatch(**made.model_dump(), callback_secret=callback_secret(batch)))

    @documented(
        operation_id="list_batches",
        summary="List batches",
        responses={200: BatchPage},
        parameters=[
            OpenApiParameter("after", str, description="the last id of the previous page"),
            OpenApiParameter("limit", int, description=f"1 to {MAX_LIMIT}; {DEFAULT_LIMIT}"),
            *FILTERS,
        ],
    )
    def get(self, request: Request) -> Response:
        """List the batches of the user, newest first, each with its first ten errors."""
        page = list_page(
            request,
            for_user(listed_batches(), owner_of(request)),
            listed_batch,
            default_limit=DEFAULT_LIMIT,
            max_limit=MAX_LIMIT,
            chosen=chosen_batches(request),
        )
        return Response(page)


class BatchView(ApiView):
    """One batch."""

    @documented(operation_id="retrieve_batch", summary="Get a batch", responses={200: BatchObject})
    def get(self, request: Request, batch_id: str) -> Response:
        """Get the current state of a batch."""
        return reply(batch_object(found(request, batch_id)))

    @documented(
        operation_id="delete_batch", summary="Delete a batch", responses={200: DeletedBatch}
    )
    def delete(self, request: Request, batch_id: str) -> Response:
        """Delete a batch that has ended, with its results and output files."""
        batch_actions.delete_batch(found(request, batch_id))
        return reply(DeletedBatch(id=batch_id))


class CancelView(ApiView):
    """The end of a batch."""

    @documented(
        operation_id="cancel_batch",
        summary="Cancel a batch",
        request=None,
        responses={200: BatchObject},
    )
    def post(self, request: Request, batch_id: str) -> Response:
        """Cancel a batch. Calls in flight finish, and existing results stay."""
        return reply(shown(batch_actions.cancel_batch(found(request, batch_id))))


class ResumeView(ApiView):
    """The end of a pause."""

    @documented(
        operation_id="resume_batch",
        summary="Resume a paused batch",
        request=ResumeBatch,
        responses={200: BatchObject},
    )
    def post(self, request: Request, batch_id: str) -> Response:
        """Resume a paused batch, with a larger budget if its budget is spent, or other rules.

        If its pilot is done, the other prompts follow.

        A batch whose provider is paused continues when staff resume the provider, or when the
        provider answers again.
        """
        batch = found(request, batch_id)
        asked = parse_body(request, ResumeBatch)
        batch_actions.resume_batch(
            batch,
            max_cost=asked.max_cost,
            max_tokens_total=asked.max_tokens_total,
            stop_when=asked.rules,
        )
        return reply(shown(batch))


class RetryView(ApiView):
    """The retry of a batch."""

    @documented(
        operation_id="retry_batch",
        summary="Run the failed prompts again",
        request=None,
        responses={200: BatchObject},
    )
    def post(self, request: Request, batch_id: str) -> Response:
        """Run failed, expired and cancelled prompts again; successful results stay."""
        return reply(shown(batch_actions.retry_batch(found(request, batch_id))))


class CallbackDeliveriesView(ApiView):
    """Deliveries to the callback of a batch."""

    @documented(
        operation_id="list_batch_deliveries",
        summary="List deliveries to the callback of a batch",
        parameters=DELIVERY_PARAMETERS,
        responses={200: WebhookDeliveryPage},
    )
    def get(self, request: Request, batch_id: str) -> Response:
        """List the deliveries to the `callback_url` of a batch, newest first."""
        batch = found(request, batch_id)
        return delivery_page(request, WebhookDelivery.objects.filter(endpoint__batch=batch))


def found(request: Request, batch_id: str) -> Batch:
    """Return the batch with this ID, if the user may see it. Raise ApiError 404."""
    return find(readable_batches(), request, batch_id, kind="batch")


def shown(batch: Batch) -> BatchObject:
    """Return the API object of a batch, as it is stored now."""
    return batch_object(readable_batches().get(pk=batch.pk))


def identity_of(request: Request, asked: CreateBatch) -> Identity:
    """Return the identity of a request, for idempotency. Raise ApiError."""
    said = asked.model_dump(exclude_unset=True, exclude={"idempotency_key"})
    try:
        digest = digest_of(said)
    except ValueError as error:
        message = f"A number of the body is out of range: {error}."
        raise ApiError(400, message, code="invalid_value") from error
    return Identity(owner=owner_of(request), key=_key_of(request, asked), digest=digest)


def _key_of(request: Request, asked: CreateBatch) -> str | None:
    header, field = request.headers.get("Idempotency-Key"), asked.idempotency_key
    if header is not None and not 1 <= len(header) <= MAX_KEY_CHARS:
        raise _refused_key(f"Idempotency-Key has {len(header)}", f"1 to {MAX_KEY_CHARS} characters")
    if header is not None and field is not None and header != field:
        given = f"the header gives {quoted(header)}, the body {quoted(field)}"
        raise _refused_key(given, "the same key in both, or only one of them")
    return field if header is None else header


def _refused_key(given: str, expected: str) -> ApiError:
    message = f"Invalid value for 'idempotency_key': {given}. Expected {expected}."
    return ApiError(400, message, code="invalid_value", param="idempotency_key")


def create(request: Request, asked: CreateBatch, identity: Identity) -> Batch:
    """Create the requested batch. Raise ApiError."""
    if asked.callback_url is not None:
        try:
            check_url(asked.callback_url)
        except UrlRefused as error:
            raise url_refused(error, asked.callback_url, param="callback_url") from error
    origin = batch_actions.Origin(identity.owner, identity.key, identity.digest)
    try:
        if asked.input_file_id is not None:
            return _of_file(request, asked, origin)
        return _inline(request, asked, origin)
    except NoProvider as error:
        raise ApiError(400, str(error), code=error.code, param=error.param) from error
    except NoPrice as error:
        raise ApiError(400, str(error), code="invalid_value", param=error.param) from error


def _of_file(request: Request, asked: CreateBatch, origin: batch_actions.Origin) -> Batch:
    file_id = asked.input_file_id or ""
    file = for_user(unexpired(), owner_of(request)).filter(public_id=file_id).first()
    provider, fault = _provider_for_file(request, asked, file)
    options = asked.options()
    if asked.template is None:
        if file and named_format(file.filename) in TABLES:
            message = f"{quoted(file.filename)} is a table: give a 'template' for its rows."
            fault = LineError(0, "invalid_file", message, "template")
        return batch_actions.create_batch_of_file(
            provider, file, file_id, options, origin=origin, fault=fault
        )
    columns = asked.template_columns()
    return batch_actions.create_batch_of_file(
        provider,
        file,
        file_id,
        options,
        origin=origin,
        fault=fault,
        input_format=table_format_of(file, columns) if file else "csv",
        template=asked.template_source(),
    )


def _provider_for_file(
    request: Request, asked: CreateBatch, file: File | None
) -> tuple[Provider, LineError | None]:
    """Return the provider for a file, and why the batch fails if no provider takes its model."""
    if file is None and asked.provider is None:
        check_endpoint(asked.endpoint)
        return any_provider(), None
    shared = asked.body.get("model")
    # The lines of a table are no requests.
    model = shared or (model_of(file) if file and asked.template is None else None)
    try:
        return _provider(request, asked, model), None
    except NoProvider as error:
        if error.model is None:
            raise
        line = 0 if shared else 1
        return any_provider(), LineError(line, "model_not_found", str(error), "body.model")


def _provider(request: Request, asked: CreateBatch, model: object) -> Provider:
    return choose_provider(
        name=asked.provider,
        model=model if isinstance(model, str) else None,
        staff=is_staff(owner_of(request)),
        endpoint=asked.endpoint,
    )


def _inline(request: Request, asked: CreateBatch, origin: batch_actions.Origin) -> Batch:
    _check_number(asked)
    provider = _provider(request, asked, _first_model(asked))
    items = _items(asked, provider)
    errors = [item for item in items if isinstance(item, LineError)]
    if errors:
        raise _refused_line(errors, asked)
    try:
        return batch_actions.create_inline_batch(provider, items, asked.options(), origin=origin)
    except InputRefused as error:
        raise _refused_line(error.errors, asked) from error


def _check_number(asked: CreateBatch) -> None:
    most = min(conf().MAX_INLINE_PROMPTS, conf().MAX_PROMPTS_PER_BATCH)
    count = len(asked.requests or asked.prompts or ())
    param = "prompts" if asked.requests is None else "requests"
    if count > most:
        raise ApiError(
            400,
            f"Invalid value for '{param}': an array of {count} items. A request may bring at most "
            f"{most} prompts (MAX_INLINE_PROMPTS); upload a file for more.",
            code="too_many_tasks",
            param=param,
        )


def _first_model(asked: CreateBatch) -> object:
    first = asked.requests[0] if asked.requests else {}
    body = first.get("body", first)
    model = body.get("model") if isinstance(body, dict) else None
    return model or asked.body.get("model")


def _items(asked: CreateBatch, provider: Provider) -> Items:
    options = InputOptions(
        endpoint=asked.endpoint,
        defaults=asked.body,
        max_line_bytes=conf().MAX_LINE_BYTES,
        models=frozenset(provider.model_names),
        strict_schemas=asked.strict_schemas,
        max_schema_bytes=conf().MAX_SCHEMA_BYTES_PER_BATCH,
        checked_schema_bytes=CHECKED_BYTES,
    )
    if asked.requests is not None:
        return list(prompts_of_objects(asked.requests, options))
    return list(prompts_of_texts(asked.prompts or (), options))


def _refused_line(errors: Sequence[LineError], asked: CreateBatch) -> ApiError:
    """Return the 400 for the first invalid prompt, with its place in the request body."""
    first = errors[0]
    if not first.line:
        # The shared body is at fault.
        param = first.param or "body"
    elif asked.requests is not None:
        place = f"requests[{first.line - 1}]"
        param = f"{place}.{first.param}" if first.param not in (None, "line") else place
    else:
        # A text prompt has no body of its own, so any error comes from the shared body.
        shared = first.param is not None and first.param.startswith("body.")
        param = first.param if shared and first.param else f"prompts[{first.line - 1}]"
    more = f" ({len(errors) - 1} more are invalid.)" if len(errors) > 1 else ""
    message = _at_place(first, param)
    return ApiError(400, f"{message}{more}", code=first.code, param=param)


def _at_place(error: LineError, place: str) -> str:
    """Return the message with the place in the line replaced by the place in the request."""
    if error.param and f"'{error.param}" in error.message:
        return error.message.replace(f"'{error.param}", f"'{place}", 1)
    return f"'{place}' is refused. {error.message}"


urlpatterns = [
    path("batches", BatchesView.as_view(), name="batches"),
    path("batches/<str:batch_id>", BatchView.as_view(), name="batch"),
    path("batches/<str:batch_id>/cancel", CancelView.as_view(), name="cancel_batch"),
    path("batches/<str:batch_id>/deliveries", CallbackDeliveriesView.as_view()),
    path("batches/<str:batch_id>/resume", ResumeView.as_view(), name="resume_batch"),
    path("batches/<str:batch_id>/retry", RetryView.as_view(), name="retry_batch"),
]
