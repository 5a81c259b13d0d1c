"""Serve one call: read and admit it, plan its effect, wait, answer."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from aiohttp import hdrs, web
from pydantic_core import from_json

from simulator.answers import CannotAnswer, embedding
from simulator.behaviour import Behaviour, plan_call
from simulator.calls import (
    BadRequest,
    Call,
    read_chat,
    read_completions,
    read_embeddings,
    read_image_edits,
    read_images,
    read_moderations,
    read_rerank,
    read_responses,
    read_score,
    read_videos,
)
from simulator.chance import noise, roll
from simulator.data_replies import (
    images_reply,
    moderations_reply,
    rerank_reply,
    score_reply,
    videos_reply,
)
from simulator.directives import BadDirective
from simulator.effects import (
    Answer,
    AnswerForm,
    BrokenBody,
    Failure,
    Plan,
    Redirect,
    Reset,
)
from simulator.faults import (
    Gone,
    GoodReplies,
    hang,
    reset_connection,
    send_broken,
    send_redirect,
)
from simulator.forms import Content, content_for
from simulator.ledger import Ledger
from simulator.limit import retry_headers
from simulator.prefix_cache import cacheable
from simulator.replies import (
    chat_reply,
    completions_reply,
    embeddings_reply,
    error_reply,
    responses_reply,
    tokens_of,
    usual_code,
)
from simulator.state import Simulator


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The functions of one endpoint: read a call, answer it, and reply with a given text."""

    read: Callable[[bytes], Call]
    answer: Callable[[Behaviour, Call, AnswerForm, str], bytes]
    say: Callable[[Call, str, str], bytes]


@dataclass(eq=False)
class Refused(Exception):
    """The call gets an error reply instead of the planned effect."""

    status: int
    message: str | None = None
    param: str | None = None
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


def _text_endpoint(
    read: Callable[[bytes], Call], reply: Callable[[Call, Content, str], bytes]
) -> Endpoint:
    def answer(behaviour: Behaviour, call: Call, form: AnswerForm, identity: str) -> bytes:
        content = content_for(form, behaviour.seed, call.prompt, call.schema)
        return reply(call, content, identity)

    return Endpoint(read, answer, lambda call, text, id_: reply(call, Content(text), id_))


def _embed(behaviour: Behaviour, call: Call, _form: AnswerForm, _identity: str) -> bytes:
    dimensions = call.dimensions or behaviour.embedding_dimensions
    vectors = [embedding(behaviour.seed, text, dimensions) for text in call.inputs]
    return embeddings_reply(call, vectors)


def _embed_nothing(call: Call, text: str, _identity: str) -> bytes:
    # A reply with vectors has only one text: the name of the model.
    return embeddings_reply(replace(call, model=text), [[1.0] for _ in call.inputs])


CHAT = _text_endpoint(read_chat, chat_reply)
RESPONSES = _text_endpoint(read_responses, responses_reply)
EMBEDDINGS = Endpoint(read_embeddings, _embed, _embed_nothing)


def _data_endpoint(
    read: Callable[[bytes], Call], reply: Callable[[int, Call, str], bytes]
) -> Endpoint:
    """Return an endpoint without text answers; its replies have only the model's name as text."""
    return Endpoint(
        read,
        lambda behaviour, call, _form, id_: reply(behaviour.seed, call, id_),
        lambda call, text, id_: reply(0, replace(call, model=text), id_),
    )


ENDPOINTS = {
    "/v1/chat/completions": CHAT,
    "/v1/responses": RESPONSES,
    "/v1/embeddings": EMBEDDINGS,
    "/v1/completions": _text_endpoint(read_completions, completions_reply),
    "/v1/moderations": _data_endpoint(read_moderations, moderations_reply),
    "/v1/images/generations": _data_endpoint(read_images, images_reply),
    "/v1/images/edits": _data_endpoint(read_image_edits, images_reply),
    "/v1/videos": _data_endpoint(read_videos, videos_reply),
    "/v1/rerank": _data_endpoint(read_rerank, rerank_reply),
    "/v1/score": _data_endpoint(read_score, score_reply),
}


async def serve_call(
    simulator: Simulator, endpoint: Endpoint, request: web.Request
) -> web.StreamResponse:
    """Answer one request, and record it in the ledger even if it fails."""
    visit = _Visit(simulator, endpoint, request, simulator.ledger, simulator.behaviour)
    visit.ledger.enter()
    status = "abandoned"
    try:
        response = await visit.response()
        status = "disconnected" if isinstance(response, Gone) else str(response.status)
    except ConnectionError:
        # The client disconnected while a long body was sent.
        return Gone()
    finally:
        # Record the status before the reply is sent: the client may call again at once.
        visit.ledger.leave(status)
    return response


def check_key(behaviour: Behaviour, request: web.Request) -> None:
    """Raise Refused for a request without the key, if a key is configured."""
    key = behaviour.api_key
    if key and request.headers.get(hdrs.AUTHORIZATION) != f"Bearer {key}":
        raise Refused(401, code=usual_code(401))


@dataclass(frozen=True, slots=True)
class _Visit:
    """One request, with the ledger and the options at its arrival; both may be replaced later."""

    simulator: Simulator
    endpoint: Endpoint
    request: web.Request
    ledger: Ledger
    behaviour: Behaviour

    async def response(self) -> web.StreamResponse:
        try:
            call = await self._arrived_call()
            plan = self._plan(call)
            if plan.latency:
                await asyncio.sleep(plan.latency)
            await self.simulator.answerable(call.prompt)
            return await self._carry_out(plan, call)
        except Refused as refused:
            body = error_reply(
                refused.status, message=refused.message, param=refused.param, code=refused.code
            )
            headers = {**self._headers(), **refused.headers}
            return web.Response(body=body, status=refused.status, headers=headers)

    def _headers(self) -> dict[str, str]:
        return {
            "content-type": "application/json",
            "x-request-id": self.simulator.request_id(),
            **self.simulator.limit_headers(),
        }

    async def _arrived_call(self) -> Call:
        """Return the call. Count it first, then admit it or raise Refused."""
        try:
            call = self.endpoint.read(await self.request.read())
        except BadRequest as error:
            check_key(self.behaviour, self.request)
            raise Refused(400, error.message, error.param, error.code) from error
        except web.HTTPRequestEntityTooLarge as error:
            raise Refused(413, "The request is too large.") from error
        self.ledger.arrive(call.prompt, call.model)
        try:
            self._let_in(call)
        except Refused:
            self.ledger.refuse(call.prompt)
            raise
        if most := self.behaviour.prefix_cache:
            text = cacheable(await self.request.read())
            cached = self.simulator.prefixes.cached_chars(text, most=most)
            call = replace(call, cached_chars=min(cached, call.prompt_chars))
        return call

    def _let_in(self, call: Call) -> None:
        check_key(self.behaviour, self.request)
        if self.behaviour.models and call.model not in self.behaviour.models:
            message = f"The model '{call.model}' does not exist or you do not have access to it."
            raise Refused(404, message, "model", "model_not_found")
        if self.behaviour.fail_from and self.ledger.calls.total() >= self.behaviour.fail_from:
            status, code = self.behaviour.fail_status, self.behaviour.fail_code
            raise Refused(status, code=code or usual_code(status))
        self._refuse_by_chance(call)
        self._keep_to_limits(call)

    def _refuse_by_chance(self, call: Call) -> None:
        share, number = self.behaviour.refusal_rate, self.ledger.calls[call.prompt]
        if share and roll(self.behaviour.seed, "refusal", number, call.prompt) < share:
            headers = retry_headers(self.behaviour.refusal_wait)
            message = "The provider has no capacity for this request. Please try again."
            raise Refused(429, message, code="rate_limit_exceeded", headers=headers)

    def _keep_to_limits(self, call: Call) -> None:
        amounts = {"requests": 1, "tokens": tokens_of(call.prompt_chars)}
        limits = self.simulator.limits()
        now = time.monotonic()
        waits = {limit.unit: limit.wait_for(amounts[limit.unit], now) for limit in limits}
        if any(waits.values()):
            unit = max(waits, key=waits.__getitem__)
            headers = retry_headers(waits[unit]) if self.behaviour.retry_after else {}
            message = f"Rate limit reached on {unit} per min. Please slow down."
            raise Refused(429, message, code="rate_limit_exceeded", headers=headers)
        for limit in limits:
            limit.take(amounts[limit.unit], now)
        self.ledger.admit(now)

    def _plan(self, call: Call) -> Plan:
        try:
            number = self.ledger.number(call.prompt)
            return plan_call(self.behaviour, call.prompt, number, call.turn, call.model)
        except BadDirective as error:
            raise Refused(400, str(error), code="bad_directive") from error

    async def _carry_out(self, plan: Plan, call: Call) -> web.StreamResponse:
        identity = noise(self.behaviour.seed, "id", plan.number, call.prompt)[:12].hex()
        match plan.effect:
            case Answer(form):
                body = self._answer(call, form, identity)
                return web.Response(body=body, headers=self._headers())
            case Failure(status, code, retry_after):
                headers = {} if retry_after is None else {"retry-after": retry_after}
                raise Refused(status, code=code or usual_code(status), headers=headers)
            case BrokenBody() as fault:
                good = GoodReplies(
                    usual=lambda: self._answer(call, "plain", identity),
                    saying=lambda text: self.endpoint.say(call, text, identity),
                )
                return await send_broken(self.request, fault, good, self._headers())
            case Redirect() as redirect:
                return send_redirect(redirect, self._headers())
            case Reset():
                return reset_connection(self.request)
        return await hang()

    def _answer(self, call: Call, form: AnswerForm, identity: str) -> bytes:
        try:
            body = self.endpoint.answer(self.behaviour, call, form, identity)
            if self.behaviour.tokens_per_second:
                self._count_tokens(call, body)
            return body
        except CannotAnswer as error:
            message = f"Invalid schema for response_format: {error}"
            raise Refused(400, message, call.schema_param, "invalid_json_schema") from error

    def _count_tokens(self, call: Call, body: bytes) -> None:
        """Count the tokens of the answer in the ledger and against the limit."""
        total = from_json(body)["usage"]["total_tokens"]
        self.ledger.tokens += total
        for limit in self.simulator.limits():
            if limit.unit == "tokens":
                limit.take(total - tokens_of(call.prompt_chars), time.monotonic())
