"""Write replies that are not text, as bytes: verdicts, images, videos, ranks and scores."""

import struct
import time
import zlib
from base64 import b64encode

from pydantic_core import to_json

from simulator.calls import Call
from simulator.chance import roll
from simulator.replies import tokens_of

CATEGORIES = ("harassment", "hate", "illicit", "self-harm", "sexual", "violence")
# A text with the name of a category in it has a score above this, and is flagged.
FLAGGED_AT = 0.5
IMAGE_PIXELS = 16
TOKENS_OF_AN_IMAGE = 272


def moderations_reply(seed: int, call: Call, identity: str) -> bytes:
    """Return the reply of /v1/moderations: a text is flagged for the categories that it names."""
    results = []
    for text in call.inputs:
        scores = {
            name: 0.99 if name in text.lower() else roll(seed, name, 0, text) / 10
            for name in CATEGORIES
        }
        found = {name: score >= FLAGGED_AT for name, score in scores.items()}
        results.append(
            {"flagged": any(found.values()), "categories": found, "category_scores": scores}
        )
    return to_json({"id": f"modr-{identity}", "model": call.model, "results": results})


def images_reply(seed: int, call: Call, identity: str) -> bytes:
    """Return the reply of /v1/images/generations and /v1/images/edits: small plain images."""
    images = []
    for number in range(call.number or 1):
        if call.base64:
            colour = int(roll(seed, "colour", number, call.prompt) * 2**24)
            images.append({"b64_json": b64encode(_png(colour)).decode()})
        else:
            images.append({"url": f"https://images.example/{identity}/{number}.png"})
    asked, made = tokens_of(call.prompt_chars), TOKENS_OF_AN_IMAGE * len(images)
    usage = {"input_tokens": asked, "output_tokens": made, "total_tokens": asked + made}
    return to_json({"created": int(time.time()), "data": images, "usage": usage})


def videos_reply(_seed: int, call: Call, identity: str) -> bytes:
    """Return the reply of /v1/videos: a job that has been queued."""
    return to_json(
        {
            "id": f"video_{identity}",
            "object": "video",
            "created_at": int(time.time()),
            "status": "queued",
            "model": call.model,
            "progress": 0,
            "prompt": call.prompt,
            "seconds": "4",
            "size": "720x1280",
            "error": None,
        }
    )


def rerank_reply(seed: int, call: Call, identity: str) -> bytes:
    """Return the reply of /v1/rerank: the documents by their scores, the best first."""
    scored = sorted(enumerate(_scores(seed, call)), key=lambda one: -one[1])
    results = [
        {"index": index, "relevance_score": score, "document": {"text": call.inputs[index]}}
        for index, score in scored[: call.number or len(scored)]
    ]
    usage = {"total_tokens": _tokens_read(call)}
    return to_json(
        {"id": f"rerank-{identity}", "model": call.model, "results": results, "usage": usage}
    )


def score_reply(seed: int, call: Call, identity: str) -> bytes:
    """Return the reply of /v1/score: a score for each text."""
    data = [
        {"index": index, "object": "score", "score": score}
        for index, score in enumerate(_scores(seed, call))
    ]
    tokens = _tokens_read(call)
    return to_json(
        {
            "id": f"score-{identity}",
            "object": "list",
            "created": int(time.time()),
            "model": call.model,
            "data": data,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens, "completion_tokens": 0},
        }
    )


def _scores(seed: int, call: Call) -> list[float]:
    return [roll(seed, "score", 0, f"{call.prompt}\x1f{text}") for text in call.inputs]


def _tokens_read(call: Call) -> int:
    return tokens_of(call.prompt_chars + sum(map(len, call.inputs)))


def _png(colour: int) -> bytes:
    """Return a square in one colour."""
    row = b"\x00" + colour.to_bytes(3, "big") * IMAGE_PIXELS
    head = struct.pack(">IIBBBBB", IMAGE_PIXELS, IMAGE_PIXELS, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(row * IMAGE_PIXELS)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
