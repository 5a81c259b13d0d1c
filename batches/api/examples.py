"""Examples of requests and responses for the OpenAPI description, one for each component."""

from typing import Any

MADE_AT = 1_790_000_000
BATCH_ID = "batch_4f0c6b2d9e8a4c1f8b7d3e5a6f901234"
FILE_ID = "file-1b2c3d4e5f60718293a4b5c6d7e8f901"
UPLOAD_ID = "upload_9a8b7c6d5e4f30212f3e4d5c6b7a8901"
PART_ID = "part_0f1e2d3c4b5a69788796a5b4c3d2e1f0"
RESULT_ID = "batch_req_000000000000002a"
ENDPOINT_ID = "we_5a6b7c8d9e0f41233210fedcba987654"
EVENT_ID = "evt_77e1c0de5eed4b1e8c0ffee012345678"
URL = "https://example.com/hooks/batches"
SIGNING_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="  # noqa: S105 - an example
EVENT_TYPES = ["batch.completed", "batch.failed"]

FILE: dict[str, Any] = {
    "id": FILE_ID,
    "object": "file",
    "bytes": 20_480,
    "created_at": MADE_AT,
    "expires_at": None,
    "filename": "prompts.jsonl",
    "purpose": "batch",
    "status": "processed",
    "status_details": None,
}

BATCH: dict[str, Any] = {
    "id": BATCH_ID,
    "object": "batch",
    "endpoint": "/v1/chat/completions",
    "model": "simulated-small",
    "errors": None,
    "input_file_id": None,
    "completion_window": None,
    "status": "completed",
    "output_file_id": FILE_ID,
    "error_file_id": None,
    "created_at": MADE_AT,
    "in_progress_at": MADE_AT,
    "expires_at": None,
    "finalizing_at": MADE_AT + 2,
    "completed_at": MADE_AT + 2,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 2, "completed": 2, "failed": 0},
    "usage": {
        "input_tokens": 14,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 52,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 66,
    },
    "metadata": {"project": "greetings"},
    "callback_url": None,
    "model_count": 1,
    "provider": "simulated",
    "pause_reason": None,
    "waiting": None,
    "warnings": [],
    "batch_size": 100,
    "schedule": "rolling",
    "parallelism": 1,
    "priority": 0,
    "max_attempts": 5,
    "timeout_s": 600.0,
    "max_cost": None,
    "max_tokens_total": None,
    "cost": 0.0,
    "extract_json": True,
    "repair_json": True,
    "max_repair_attempts": 1,
    "strict_schemas": False,
    "timing": {
        "first_result_s": 0.4,
        "total_s": 0.9,
        "average_s": 0.6,
        "p50_s": 0.6,
        "p95_s": 0.9,
        "p99_s": 0.9,
        "prompts_per_s": 2.2,
        "speed_up": 1.4,
        "eta_s": None,
    },
    "failures": {},
    "rungs": {},
}

RESULT: dict[str, Any] = {
    "id": RESULT_ID,
    "custom_id": "a",
    "response": {
        "status_code": 200,
        "request_id": "req_1",
        "body": {
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Hello to you."},
                    "finish_reason": "stop",
                }
            ]
        },
    },
    "error": None,
    "index": 0,
    "status": "succeeded",
    "kind": None,
    "parsed": None,
    "rung": None,
    "finish_reason": "stop",
    "calls": 1,
    "latency_s": 0.4,
    "usage": {"input_tokens": 7, "output_tokens": 26},
}

UPLOAD: dict[str, Any] = {
    "id": UPLOAD_ID,
    "object": "upload",
    "bytes": 20_480,
    "created_at": MADE_AT,
    "expires_at": MADE_AT + 3600,
    "filename": "prompts.jsonl",
    "purpose": "batch",
    "status": "completed",
    "file": FILE,
}

MODEL: dict[str, Any] = {
    "id": "simulated-small",
    "object": "model",
    "created": MADE_AT,
    "owned_by": "simulated",
}

ENDPOINT: dict[str, Any] = {
    "id": ENDPOINT_ID,
    "object": "webhook_endpoint",
    "name": "production",
    "url": URL,
    "event_types": EVENT_TYPES,
    "created_at": MADE_AT,
    "updated_at": MADE_AT,
    "signing_secret_hint": "whsec_...x4Y=",
}

DELIVERY: dict[str, Any] = {
    "id": EVENT_ID,
    "object": "webhook_delivery",
    "webhook_endpoint_id": ENDPOINT_ID,
    "event_type": "batch.completed",
    "batch_id": BATCH_ID,
    "status": "delivered",
    "attempts": 1,
    "status_code": 204,
    "error": None,
    "created_at": MADE_AT,
    "next_attempt_at": None,
    "delivered_at": MADE_AT + 1,
}


def _page(item: dict[str, Any], **more: Any) -> dict[str, Any]:
    ends = {"has_more": False, "first_id": item["id"], "last_id": item["id"]}
    return {"object": "list", "data": [item], **ends, **more}


def _deleted(public_id: str, kind: str) -> dict[str, Any]:
    return {"id": public_id, "object": kind, "deleted": True}


EXAMPLES: dict[str, dict[str, Any]] = {
    "CreateBatch": {
        "prompts": ["Why is the sky blue?", "Why is the sea salt?"],
        "body": {"model": "simulated-small"},
        "metadata": {"project": "greetings"},
    },
    "ResumeBatch": {"max_cost": 25.0},
    "BatchObject": BATCH,
    "CreatedBatch": {**BATCH, "callback_url": URL, "callback_secret": SIGNING_SECRET},
    "BatchPage": _page(BATCH),
    "DeletedBatch": _deleted(BATCH_ID, "batch"),
    "ResultPage": _page(RESULT, incomplete=False),
    "FileObject": FILE,
    "FilePage": _page(FILE),
    "DeletedFile": _deleted(FILE_ID, "file"),
    "ModelObject": MODEL,
    "ModelList": {"object": "list", "data": [MODEL]},
    "NewUpload": {
        "bytes": 20_480,
        "filename": "prompts.jsonl",
        "mime_type": "application/jsonl",
        "purpose": "batch",
    },
    "CompleteUpload": {"part_ids": [PART_ID]},
    "UploadObject": UPLOAD,
    "UploadPartObject": {
        "id": PART_ID,
        "object": "upload.part",
        "created_at": MADE_AT,
        "upload_id": UPLOAD_ID,
    },
    "NewWebhookEndpoint": {"name": "production", "url": URL, "event_types": EVENT_TYPES},
    "WebhookEndpointChanges": {"name": "staging"},
    "Rotation": {"keep_old_secret_active_for_24_hours": True},
    "TestRequest": {"event_type": "batch.completed"},
    "WebhookEndpointObject": ENDPOINT,
    "WebhookEndpointWithSecret": {
        **ENDPOINT,
        "signing_secret": SIGNING_SECRET,
    },
    "WebhookEndpointPage": _page(ENDPOINT),
    "DeletedWebhookEndpoint": _deleted(ENDPOINT_ID, "webhook_endpoint.deleted"),
    "WebhookEndpointTestResult": {
        "object": "webhook_endpoint.test",
        "webhook_endpoint_id": ENDPOINT_ID,
        "event_type": "batch.completed",
        "status_code": 204,
        "success": True,
    },
    "WebhookDeliveryPage": _page(DELIVERY),
    "WebhookEventTypes": {"object": "list", "data": EVENT_TYPES},
    "WebhookEventObject": {
        "id": EVENT_ID,
        "object": "event",
        "created_at": MADE_AT,
        "type": "batch.completed",
        "data": {"id": BATCH_ID},
    },
    "ErrorEnvelope": {
        "error": {
            "message": "No such batch: 'batch_0'.",
            "type": "invalid_request_error",
            "param": "id",
            "code": "not_found",
        }
    },
}
