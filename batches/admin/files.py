"""Admin pages of files: uploaded inputs, and outputs that are generated when they are read."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, QuerySet, Subquery
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from batches.admin.base import MachineMade, admin_url, allowed, register
from batches.admin.batches.downloads import bytes_of, download
from batches.admin.batches.graphs import SHOWN_ID_CHARS
from batches.files.files import FileConflict, delete_file
from batches.formats import NOTHING, size
from batches.models import Batch, File
from batches.output.files import visible_files


@register(File)
class FileAdmin(MachineMade[File]):
    """All files of all users."""

    list_display = (
        *("public_id", "filename", "download_link", "batch_links", "purpose", "owner", "length"),
        *("created_at", "expires_at"),
    )
    list_filter = ("purpose",)
    list_select_related = ("owner", "output_of", "errors_of")
    search_fields = ("public_id", "filename")
    fields = (
        *("id_to_copy", "filename", "purpose", "owner", "length", "created_at", "expires_at"),
        *("download_link", "batch_links"),
    )
    ordering = ("-pk",)
    date_hierarchy = "created_at"
    show_full_result_count = False
    actions = None

    def get_queryset(self, request: HttpRequest) -> QuerySet[File]:
        using = Batch.objects.filter(input_file=OuterRef("pk"), deleted_at=None).order_by("-pk")
        latest = using.values(batch=JSONObject(pk="pk", public_id="public_id"))[:1]
        return visible_files(super().get_queryset(request)).annotate(input_of=Subquery(latest))

    @admin.display(description="ID")
    def id_to_copy(self, file: File) -> SafeString:
        context = {"text": file.public_id, "what": "the ID"}
        button = render_to_string("admin/batches/copy.html", context)
        return format_html("{} {}", file.public_id, button)

    @admin.display(description="Batch")
    def batch_links(self, file: File) -> SafeString:
        """Link to the batch that wrote the file, or the latest one that was made of it."""
        writers = (getattr(file, name, None) for name in ("output_of", "errors_of"))
        writer = next(filter(None, writers), None)
        read_by = vars(file)["input_of"]
        if not writer and not read_by:
            return format_html("{}", NOTHING)
        pk, name = (
            (writer.pk, writer.public_id) if writer else (read_by["pk"], read_by["public_id"])
        )
        page = admin_url("batches_batch_change", pk)
        shown = f"{name[:SHOWN_ID_CHARS]}…"
        return format_html('<a class="tp-link" href="{}" title="{}">{}</a>', page, name, shown)

    @admin.display(description="Size", ordering="bytes")
    def length(self, file: File) -> str:
        return size(file.bytes)

    @admin.display(description="Content")
    def download_link(self, file: File) -> SafeString:
        address = admin_url("batches_file_download", file.pk)
        return format_html('<a class="tp-link" href="{}">Download</a>', address)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Delete the file; if it is still in use, return to its page and show the reason."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except FileConflict as error:
            messages.error(request, str(error))
            return HttpResponseRedirect(admin_url("batches_file_change", object_id))

    def delete_model(self, _request: HttpRequest, obj: File) -> None:
        delete_file(obj)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.download)
        return [path("<int:pk>/download/", view, name="batches_file_download"), *super().get_urls()]

    def download(self, request: HttpRequest, pk: int) -> HttpResponseBase:
        """Send a file as a download, so that the browser never renders its content."""
        file = allowed(self, request, pk, to="view")
        return download(request, bytes_of(file), name=file.filename)
