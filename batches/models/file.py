"""Uploaded files and output files."""

from functools import partial
from typing import Any

from django.conf import DEFAULT_STORAGE_ALIAS, settings
from django.core.files.storage import Storage, storages
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from batches.lifecycle import UPLOAD_TRANSITIONS, UploadStatus, sources_of
from batches.models.fields import choices, one_of, public_id

STORAGE = "batches"


def file_storage() -> Storage:
    """Return the storage named `batches` in the project's STORAGES, else its default one."""
    return storages[STORAGE if STORAGE in storages.backends else DEFAULT_STORAGE_ALIAS]


class File(models.Model):
    """An uploaded input, with its bytes in the file storage; or the output of a batch, which has no
    content of its own: it is generated from the results on each read."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "file-"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, null=True, related_name="+")
    purpose = models.CharField(max_length=32)
    filename = models.CharField(max_length=255)
    content = models.FileField(upload_to="%Y/%m", storage=file_storage, max_length=255, blank=True)
    bytes = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = (
            models.CheckConstraint(condition=Q(bytes__gte=0), name="file_bytes_positive"),
        )

    def __str__(self) -> str:
        return self.filename


class UploadQuerySet(models.QuerySet["Upload"]):
    def move(self, target: UploadStatus, **values: Any) -> int:
        """Move the uploads that may go to a status; return their number."""
        sources = sources_of(UPLOAD_TRANSITIONS, target)
        return self.filter(status__in=sources).update(status=target, **values)


class Upload(models.Model):
    """A file that is uploaded in parts; it becomes a File when it is completed."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "upload_"), editable=False
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="+")
    purpose = models.CharField(max_length=32)
    filename = models.CharField(max_length=255)
    mime_type = models.CharField(max_length=255)
    bytes = models.BigIntegerField(help_text="as announced")
    file_expires_after_s = models.PositiveIntegerField(null=True)
    status = models.CharField(
        max_length=16, choices=choices(UploadStatus), default=UploadStatus.PENDING
    )
    file = models.OneToOneField(File, models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField()

    objects = UploadQuerySet.as_manager()

    class Meta:
        constraints = (one_of("status", UploadStatus, "upload_status_known"),)

    def __str__(self) -> str:
        return self.filename


class UploadPart(models.Model):
    """A part of an upload; the order of the parts is given when the upload is completed."""

    public_id = models.CharField(
        max_length=64, unique=True, default=partial(public_id, "part_"), editable=False
    )
    upload = models.ForeignKey(Upload, models.CASCADE, related_name="parts")
    content = models.FileField(upload_to="parts/%Y/%m", storage=file_storage, max_length=255)
    bytes = models.BigIntegerField()
    created_at = models.DateTimeField(db_default=Now())
