"""Database models. Constraints rule out wrong states; statuses change in guarded transitions.

A batch of a million prompts has a million Prompt rows that never change and a million Result rows
that are only inserted. A run changes only its Batch row and its Chunk rows.
"""

from batches.models.answer import Answer, AnswerState, Enrichment
from batches.models.batch import Batch, BatchQuerySet
from batches.models.fields import lease_end, public_id
from batches.models.file import File, Upload, UploadPart, UploadQuerySet
from batches.models.hour import BatchHour
from batches.models.provider import Outage, Provider
from batches.models.result import KeptAnswer, Result
from batches.models.template import Template
from batches.models.token import ApiToken
from batches.models.webhook import WebhookDelivery, WebhookEndpoint
from batches.models.work import Chunk, ChunkQuerySet, Prompt, Slot
from batches.models.worker import Worker

__all__ = [
    "Answer",
    "AnswerState",
    "ApiToken",
    "Batch",
    "BatchHour",
    "BatchQuerySet",
    "Chunk",
    "ChunkQuerySet",
    "Enrichment",
    "File",
    "KeptAnswer",
    "Outage",
    "Prompt",
    "Provider",
    "Result",
    "Slot",
    "Template",
    "Upload",
    "UploadPart",
    "UploadQuerySet",
    "WebhookDelivery",
    "WebhookEndpoint",
    "Worker",
    "lease_end",
    "public_id",
]
