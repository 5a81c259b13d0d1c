"""Write the provider's replies in OpenAI's formats, as bytes."""

import time
from array import array
from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from pydantic_core import to_json

from simulator.calls import Call
from simulator.forms import Content

_USUAL_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
_MESSAGES = {
    "invalid_api_key": "Incorrect API key provided. Check the key of this provider.",
    "insufficient_quota": "You exceeded your current quota, please check your plan.",
    "rate_limit_exceeded": "Rate limit reached for requests. Please slow down.",
    "500": "The server had an error while processing your request. Sorry about that!",
    "503": "The engine is currently overloaded, please try again later.",
}


def usual_code(status: int) -> str | None:
    """Return the usual code for a status."""
    return _USUAL_CODES.get(status)


def error_reply(
    status: int, *, message: str | None = None, param: str | None = None, code: str | None = None
) -> bytes:
    """Return an error in OpenAI's envelope, with all four keys."""
    usual = _MESSAGES.get(code or str(status), f"The provider answered with status {status}.")
    error = {
        "message": message or usual,
        "type": _error_type(status, code),
        "param": param,
        "code": code,
    }
    return to_json({"error": error})


def _error_type(status: int, code: str | None) -> str:
    if code == "insufficient_quota":
        return code
    if status == 429:
        return "requests"
    return "server_error" if status >= 500 else "invalid_request_error"


def chat_reply(call: Call, content: Content, identity: str) -> bytes:
    """Return the reply of /v1/chat/completions."""
    prompt_tokens, answer_tokens = _tokens(call, content)
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content.text,
        "refusal": content.refusal,
        "annotations": [],
    }
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": content.finish,
    }
    return to_json(
        {
            "id": f"chatcmpl-{identity}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": call.model,
            "choices": [choice],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": answer_tokens,
                "total_tokens": prompt_tokens + answer_tokens,
                "prompt_tokens_details": {"cached_tokens": call.cached_chars // 4},
                "completion_tokens_details": {"reasoning_tokens": 0},
            },
            "service_tier": "default",
            "system_fingerprint": "fp_simulated",
        }
    )


def completions_reply(call: Call, content: Content, identity: str) -> bytes:
    """Return the reply of /v1/completions, with a choice for each prompt."""
    prompt_tokens, answer_tokens = _tokens(call, content)
    answer_tokens *= len(call.inputs)
    choices = [
        {
            "index": index,
            "text": content.text or content.refusal or "",
            "logprobs": None,
            "finish_reason": content.finish,
        }
        for index in range(len(call.inputs))
    ]
    return to_json(
        {
            "id": f"cmpl-{identity}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": call.model,
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": answer_tokens,
                "total_tokens": prompt_tokens + answer_tokens,
            },
        }
    )


def responses_reply(call: Call, content: Content, identity: str) -> bytes:
    """Return the reply of /v1/responses."""
    prompt_tokens, answer_tokens = _tokens(call, content)
    finished = content.finish == "stop"
    reason = "max_output_tokens" if content.finish == "length" else content.finish
    return to_json(
        {
            "id": f"resp_{identity}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "completed" if finished else "incomplete",
            "error": None,
            "incomplete_details": None if finished else {"reason": reason},
            "instructions": None,
            "metadata": {},
            "model": call.model,
            "output": [_output_message(content, identity)],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": {
                "input_tokens": prompt_tokens,
                "input_tokens_details": {"cached_tokens": call.cached_chars // 4},
                "output_tokens": answer_tokens,
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": prompt_tokens + answer_tokens,
            },
        }
    )


def _output_message(content: Content, identity: str) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "output_text", "text": content.text, "annotations": []}
    if content.refusal is not None:
        part = {"type": "refusal", "refusal": content.refusal}
    return {
        "id": f"msg_{identity}",
        "type": "message",
        "status": "completed" if content.finish == "stop" else "incomplete",
        "role": "assistant",
        "content": [] if content.text is None and content.refusal is None else [part],
    }


def embeddings_reply(call: Call, vectors: Sequence[list[float]]) -> bytes:
    """Return the reply of /v1/embeddings."""
    tokens = tokens_of(call.prompt_chars)
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _base64(vector) if call.base64 else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return to_json({"object": "list", "data": data, "model": call.model, "usage": usage})


def models_reply(models: Sequence[str]) -> bytes:
    """Return the reply of /v1/models."""
    data = [
        {"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in models
    ]
    return to_json({"object": "list", "data": data})


def _base64(vector: list[float]) -> str:
    return b64encode(array("f", vector).tobytes()).decode()


def _tokens(call: Call, content: Content) -> tuple[int, int]:
    return tokens_of(call.prompt_chars), tokens_of(len(content.text or content.refusal or ""))


def tokens_of(chars: int) -> int:
    """Return the estimated number of tokens: one for every four characters."""
    return (chars + 3) // 4
