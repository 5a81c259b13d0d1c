"""/v1/uploads: upload large files in parts."""

from typing import Annotated, Literal

from django.urls import path
from pydantic import BaseModel, Field
from rest_framework.request import Request
from rest_framework.response import Response

from batches.api.errors import ApiError
from batches.api.fields import Filename, PartId, Time, UploadId, shown
from batches.api.files import ExpiresAfter, FileObject, Purpose, file_object
from batches.api.http.multipart import PartForm, form_of
from batches.api.http.view import (
    ApiView,
    RequestModel,
    documented,
    find,
    owner_of,
    parse_body,
    reply,
)
from batches.conf import conf
from batches.engine.text.wording import value_text
from batches.files.files import NewFile, safe_filename
from batches.files.uploads import MAX_PARTS, add_part, begin_upload, cancel_upload, complete_upload
from batches.lifecycle import UploadStatus
from batches.models import Upload


class NewUpload(RequestModel):
    """A file that will be uploaded in parts."""

    bytes: Annotated[int, Field(ge=1, examples=[20_480])]
    filename: Annotated[Filename, Field(min_length=1, max_length=1000)]
    mime_type: Annotated[str, Field(min_length=1, max_length=255), shown("application/jsonl")]
    purpose: Annotated[Purpose, shown("batch")]
    expires_after: ExpiresAfter | None = None


class CompleteUpload(RequestModel):
    """The parts, in the order of their bytes."""

    part_ids: Annotated[list[PartId], Field(min_length=1, max_length=MAX_PARTS)]
    md5: Annotated[str, Field(pattern="^[0-9a-fA-F]{32}$")] | None = None


class UploadObject(BaseModel):
    """A file that is uploaded in parts; `file` is set once the upload is completed."""

    id: UploadId
    object: Literal["upload"] = "upload"
    bytes: int = shown(20_480)
    created_at: Time
    expires_at: Time
    filename: Filename
    purpose: str = shown("batch")
    status: UploadStatus
    file: FileObject | None


class UploadPartObject(BaseModel):
    """Some of the bytes of an upload."""

    id: PartId
    object: Literal["upload.part"] = "upload.part"
    created_at: Time
    upload_id: UploadId


def upload_object(upload: Upload) -> UploadObject:
    """Return the API object of an upload."""
    return UploadObject.model_validate(
        {
            "id": upload.public_id,
            "bytes": upload.bytes,
            "created_at": int(upload.created_at.timestamp()),
            "expires_at": int(upload.expires_at.timestamp()),
            "filename": upload.filename,
            "purpose": upload.purpose,
            "status": upload.status,
            "file": file_object(upload.file) if upload.file else None,
        }
    )


class UploadsView(ApiView):
    """The uploads of a user."""

    @documented(
        operation_id="create_upload",
        summary="Begin an upload",
        request=NewUpload,
        responses={200: UploadObject},
    )
    def post(self, request: Request) -> Response:
        """Start the upload of a large file. Upload its parts and complete it within an hour."""
        body = parse_body(request, NewUpload)
        if body.bytes > conf().MAX_UPLOAD_BYTES:
            expected = f"At most {conf().MAX_UPLOAD_BYTES} bytes are taken (MAX_UPLOAD_BYTES)."
            message = value_text("bytes", body.bytes, expected)
            raise ApiError(413, message, code="too_large", param="bytes")
        new = NewFile(
            owner=owner_of(request),
            purpose=body.purpose,
            filename=safe_filename(body.filename),
            expires_after_s=body.expires_after.seconds if body.expires_after else None,
        )
        return reply(upload_object(begin_upload(new, size=body.bytes, mime_type=body.mime_type)))


class UploadPartsView(ApiView):
    """The parts of an upload."""

    parser_classes = (PartForm,)

    @documented(
        operation_id="add_upload_part",
        summary="Add a part",
        request={
            "multipart/form-data": {
                "type": "object",
                "required": ["data"],
                "properties": {"data": {"type": "string", "format": "binary"}},
            }
        },
        responses={200: UploadPartObject},
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Add a part. Parts may be sent in any order, and concurrently."""
        upload = _find(request, upload_id)
        fields, content = form_of(request, file="data")
        for name in fields:
            raise ApiError(
                400, f"Unknown parameter: '{name}'.", code="unknown_parameter", param=name
            )
        part = add_part(upload, content)
        return reply(
            UploadPartObject(
                id=part.public_id,
                created_at=int(part.created_at.timestamp()),
                upload_id=upload.public_id,
            )
        )


class CompleteUploadView(ApiView):
    """The end of an upload, with a file."""

    @documented(
        operation_id="complete_upload",
        summary="Complete an upload",
        request=CompleteUpload,
        responses={200: UploadObject},
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Create a file from the parts. Repeating the request returns the same response."""
        upload = _find(request, upload_id)
        body = parse_body(request, CompleteUpload)
        return reply(upload_object(complete_upload(upload, body.part_ids, md5=body.md5)))


class CancelUploadView(ApiView):
    """The end of an upload, without a file."""

    @documented(
        operation_id="cancel_upload",
        summary="Cancel an upload",
        request=None,
        responses={200: UploadObject},
    )
    def post(self, request: Request, upload_id: str) -> Response:
        """Cancel an upload and delete its parts."""
        return reply(upload_object(cancel_upload(_find(request, upload_id))))


def _find(request: Request, upload_id: str) -> Upload:
    uploads = Upload.objects.select_related("file", "owner")
    return find(uploads, request, upload_id, kind="Upload")


urlpatterns = [
    path("uploads", UploadsView.as_view()),
    path("uploads/<str:upload_id>/parts", UploadPartsView.as_view()),
    path("uploads/<str:upload_id>/complete", CompleteUploadView.as_view()),
    path("uploads/<str:upload_id>/cancel", CancelUploadView.as_view()),
]
