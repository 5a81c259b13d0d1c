"""/v1/files: uploaded files and output files of batches."""

from collections.abc import Iterator
from typing import Annotated, Literal

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.urls import path
from django.utils.http import content_disposition_header
from drf_spectacular.utils import OpenApiParameter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import refused
from batches.api.fields import FileId, Filename, RareTime, Time, shown
from batches.api.http.multipart import FileForm, form_of
from batches.api.http.pages import Page, list_page
from batches.api.http.streaming import streamed
from batches.api.http.view import ApiView, documented, find, for_user, owner_of, reply
from batches.files.files import (
    LONGEST_LIFE_S,
    SHORTEST_LIFE_S,
    NewFile,
    delete_file,
    safe_filename,
    store_file,
    unexpired,
)
from batches.models import File
from batches.output.files import content_length, is_incomplete, output_lines, visible_files

MAX_PAGE = 10_000

# Long fields of a batch that are not shown with its files.
LONG = ("defaults", "errors", "metadata", "report", "warnings")

Purpose = Literal["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]


class ExpiresAfter(BaseModel):
    """The time for which a file is kept; without it, until it is deleted."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=SHORTEST_LIFE_S, le=LONGEST_LIFE_S)]


class NewFileForm(BaseModel):
    """The fields of the form beside the file."""

    model_config = ConfigDict(extra="forbid")

    purpose: Purpose
    expires_after: ExpiresAfter | None = None


class FileObject(BaseModel):
    """A file. `status` is `uploaded` for the output of a batch that still runs."""

    id: FileId
    object: Literal["file"] = "file"
    bytes: int = shown(20_480)
    created_at: Time
    expires_at: RareTime
    filename: Filename
    purpose: str = shown("batch")
    status: Literal["uploaded", "processed", "error"] = shown("processed")
    status_details: str | None = None


class FilePage(Page):
    """A page of files."""

    data: list[FileObject]


class DeletedFile(BaseModel):
    """A deleted file."""

    id: FileId
    object: Literal["file"] = "file"
    deleted: Literal[True] = True


def file_object(file: File) -> FileObject:
    """Return the API object of a file."""
    return FileObject(
        id=file.public_id,
        bytes=file.bytes,
        created_at=int(file.created_at.timestamp()),
        expires_at=int(file.expires_at.timestamp()) if file.expires_at else None,
        filename=file.filename,
        purpose=file.purpose,
        status="uploaded" if is_incomplete(file) else "processed",
    )


def readable_files() -> QuerySet[File]:
    """Return the files that the API shows, with all shown fields in one query."""
    files = visible_files(unexpired()).select_related("output_of", "errors_of")
    return files.defer(*(f"{side}__{name}" for side in ("output_of", "errors_of") for name in LONG))


class FilesView(ApiView):
    """All files of a user."""

    parser_classes = (FileForm,)

    @documented(
        operation_id="create_file",
        summary="Upload a file",
        request={
            "multipart/form-data": {
                "type": "object",
                "required": ["file", "purpose"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "purpose": {"type": "string", "enum": list(Purpose.__args__)},  # type: ignore[attr-defined]  # of a Literal
                    "expires_after[anchor]": {"type": "string", "enum": ["created_at"]},
                    "expires_after[seconds]": {
                        "type": "integer",
                        "minimum": SHORTEST_LIFE_S,
                        "maximum": LONGEST_LIFE_S,
                    },
                },
            }
        },
        responses={200: FileObject},
    )
    def post(self, request: Request) -> Response:
        """Upload a file. With the purpose `batch` it must be JSONL, with a request on each line, or
        a table with a name in .csv, .tsv, .xlsx or .parquet, for a batch with a template."""
        fields, content = form_of(request, file="file")
        form = parse_form(fields)
        new = NewFile(
            owner=owner_of(request),
            purpose=form.purpose,
            filename=safe_filename(content.name or ""),
            expires_after_s=form.expires_after.seconds if form.expires_after else None,
        )
        return reply(file_object(store_file(new, content)))

    @documented(
        operation_id="list_files",
        summary="List files",
        parameters=[
            OpenApiParameter("after", str, description="the last id of the previous page"),
            OpenApiParameter("limit", int, description=f"1 to {MAX_PAGE}, which is the default"),
            OpenApiParameter("order", str, enum=["asc", "desc"], description="by age; desc"),
            OpenApiParameter("purpose", str, description="only files with this purpose"),
        ],
        responses={200: FilePage},
    )
    def get(self, request: Request) -> Response:
        """List the files of the user, newest first."""
        files = for_user(readable_files(), owner_of(request))
        purpose = request.query_params.get("purpose")
        if purpose:
            files = files.filter(purpose=purpose.replace("\0", ""))
        page = list_page(
            request,
            files,
            file_object,
            default_limit=MAX_PAGE,
            max_limit=MAX_PAGE,
            orders=("desc", "asc"),
        )
        return Response(page)


class FileView(ApiView):
    """One file."""

    @documented(operation_id="retrieve_file", summary="Get a file", responses={200: FileObject})
    def get(self, request: Request, file_id: str) -> Response:
        """Get a file."""
        return reply(file_object(find(readable_files(), request, file_id, kind="File object")))

    @documented(operation_id="delete_file", summary="Delete a file", responses={200: DeletedFile})
    def delete(self, request: Request, file_id: str) -> Response:
        """Delete a file. Results stay readable through their batch."""
        file = find(readable_files(), request, file_id, kind="File object")
        delete_file(file)
        return reply(DeletedFile(id=file_id))


class FileContentView(ApiView):
    """The bytes of a file."""

    @documented(
        operation_id="download_file",
        summary="Download a file",
        responses={(200, "application/octet-stream"): bytes},
    )
    def get(self, request: Request, file_id: str) -> HttpResponseBase:
        """Download a file. While its batch is running, the response has the lines so far and the
        header `x-incomplete: true`."""
        file = find(readable_files(), request, file_id, kind="File object")
        response = _content(request, file)
        disposition = content_disposition_header(True, file.filename)  # noqa: FBT003 - positional only
        response["Content-Disposition"] = disposition or "attachment"
        response["X-Content-Type-Options"] = "nosniff"
        if is_incomplete(file):
            response["x-incomplete"] = "true"
        return response


def parse_form(fields: dict[str, str]) -> NewFileForm:
    """Parse the fields of the form, with `expires_after[...]` as one object. Raise ApiError."""
    plain: dict[str, object] = {}
    life: dict[str, str] = {}
    for name, value in fields.items():
        outer, bracket, inner = name.partition("[")
        if outer == "expires_after" and bracket and inner.endswith("]"):
            life[inner.removesuffix("]")] = value
        else:
            plain[name] = value
    try:
        return NewFileForm.model_validate({**plain, **({"expires_after": life} if life else {})})
    except ValidationError as error:
        raise refused(error) from error


def _content(request: Request, file: File) -> HttpResponseBase:
    lines = output_lines(file)
    if request.method == "HEAD":
        response: HttpResponseBase = HttpResponse(content_type="application/octet-stream")
    else:
        response = streamed(request, _stored_bytes(file) if lines is None else lines)
    length = content_length(file)
    if length is not None:
        response["Content-Length"] = str(length)
    return response


def _stored_bytes(file: File) -> Iterator[bytes]:
    with file.content.open("rb") as content:
        yield from content.chunks()


urlpatterns = [
    path("files", FilesView.as_view()),
    path("files/<str:file_id>", FileView.as_view()),
    path("files/<str:file_id>/content", FileContentView.as_view()),
]
