"""A prompt whose answer fails is asked of a stronger model: one outcome, and all calls counted."""

import asyncio
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batches.engine.errors import (
    AnswerRejected,
    AuthError,
    ConfigError,
    FailureKind,
    Overloaded,
    ProviderError,
    RequestRefused,
    ServerError,
)
from batches.engine.execute import Stop
from batches.engine.liveness import Patience
from batches.engine.processor import ProcessedBatch, process_prompt_batch
from batches.engine.records import (
    ANSWER_KINDS,
    SCHEDULES,
    USUAL_KINDS,
    AnswerKind,
    AskedModel,
    EscalationStep,
    Judgement,
    LadderOptions,
    Outcome,
    PreparedRequest,
    Reply,
    Schedule,
    Usage,
)
from batches.engine.retry import RetryPolicy
from batches.engine.structured.escalation import escalated
from batches.engine.structured.ladder import MENDABLE
from tests.engine.doors import Run, settle
from tests.engine.makers import reply
from tests.waiting import PATIENCE_S

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
ASKED = {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}
# An answer that fails in each kind.
FORMS: Mapping[AnswerKind, Reply] = {
    "schema_violation": reply('{"n": "x"}'),
    "not_json": reply("no"),
    "refusal": reply(None, refusal="I will not."),
    "truncated": reply('{"n": 1', finish_reason="length"),
    "filtered": reply(None, finish_reason="content_filter"),
    "empty": reply(""),
}
FITS = reply('{"n": 1}')
CALL = Usage(input_tokens=5, output_tokens=7)
STRONG = (EscalationStep("strong"),)
Says = AnswerKind | ProviderError | None


@dataclass
class Models:
    """A provider whose models each say one thing; `first` are errors of the first calls to some."""

    says: Mapping[str, Says]
    first: dict[str, list[ProviderError]] = field(default_factory=dict)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    answered: Usage = field(default_factory=Usage)
    in_flight: int = 0
    most_in_flight: int = 0

    async def send(self, request: PreparedRequest) -> Reply:
        body = json.loads(request.content)
        assert body["model"] == request.model
        self.bodies.append(body)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        errors = self.first.get(request.model)
        said: Says = errors.pop(0) if errors else self.says[request.model]
        if isinstance(said, ProviderError):
            raise said
        self.answered += CALL
        return FITS if said is None else FORMS[said]

    @property
    def calls(self) -> Counter[str]:
        return Counter(body["model"] for body in self.bodies)

    async def run(
        self,
        steps: Sequence[EscalationStep],
        *,
        prompts: int = 1,
        repairs: int = 0,
        max_attempts: int = 2,
        asked: Mapping[str, Any] | None = ASKED,
        **options: Any,
    ) -> ProcessedBatch:
        async with asyncio.timeout(PATIENCE_S):
            return await process_prompt_batch(
                ["hi"] * prompts,
                send=self.send,
                defaults={"model": "weak", **({"response_format": asked} if asked else {})},
                retry=RetryPolicy(
                    max_attempts=max_attempts,
                    base_s=0.0,
                    patience=Patience(first_s=0.0, longest_s=0.0),
                ),
                ladder=LadderOptions(max_repair_attempts=repairs, escalate=tuple(steps)),
                **options,
            )

    async def outcome(self, steps: Sequence[EscalationStep], **options: Any) -> Outcome:
        return (await self.run(steps, **options)).outcomes[0]


def when(*kinds: AnswerKind) -> frozenset[str]:
    return frozenset(kinds)


def test_the_kinds_are_failures_of_answers() -> None:
    assert set(ANSWER_KINDS) <= {kind.value for kind in FailureKind}
    assert set(USUAL_KINDS) == {"schema_violation", "not_json", "refusal", "truncated"}
    assert FORMS.keys() == set(ANSWER_KINDS)


@pytest.mark.parametrize("given", [*ANSWER_KINDS, None])
@pytest.mark.parametrize("kind", ANSWER_KINDS)
async def test_a_stronger_model_is_asked_after_the_failures_of_its_step(
    kind: AnswerKind, given: AnswerKind | None
) -> None:
    models = Models({"weak": kind, "strong": None})
    step = EscalationStep("strong") if given is None else EscalationStep("strong", when(given))
    outcome = await models.outcome([step])
    if kind not in (USUAL_KINDS if given is None else (given,)):
        assert (outcome.kind, outcome.calls, outcome.asked) == (kind, 1, ())
        return
    assert (outcome.status, outcome.parsed) == ("succeeded", {"n": 1})
    assert (outcome.calls, outcome.usage) == (2, CALL + CALL)
    assert outcome.asked == (
        AskedModel("weak", FailureKind(kind), 1, CALL),
        AskedModel("strong", None, 1, CALL),
    )


@pytest.mark.parametrize("given", [*ANSWER_KINDS, None])
@pytest.mark.parametrize("kind", ANSWER_KINDS)
async def test_without_a_schema_an_answer_fails_in_the_kinds_that_a_step_names(
    kind: AnswerKind, given: AnswerKind | None
) -> None:
    step = EscalationStep("strong") if given is None else EscalationStep("strong", when(given))
    models = Models({"weak": kind, "strong": None})
    outcome = await models.outcome([step], asked=None)
    is_named = kind in (USUAL_KINDS if given is None else (given,))
    climbs = is_named and kind not in {"schema_violation", "not_json"}
    assert (outcome.status, outcome.kind, outcome.parsed) == ("succeeded", None, None)
    assert models.calls == Counter({"weak": 1, **({"strong": 1} if climbs else {})})
    # What fails under the strongest model too has failed.
    models = Models({"weak": kind, "strong": kind})
    outcome = await models.outcome([step], asked=None)
    assert outcome.kind == (kind if climbs else None)
    assert [one.model for one in outcome.asked] == (["weak", "strong"] if climbs else [])


@pytest.mark.parametrize(
    ("says", "asked"),
    [
        (("not_json", None, None, None), "wa"),
        (("refusal", None, None, None), "wb"),
        (("empty", None, None, None), "wc"),
        (("not_json", "refusal", None, None), "wab"),
        (("not_json", "not_json", None, None), "wac"),
        (("not_json", "refusal", "not_json", None), "wabc"),
        (("not_json", "refusal", "not_json", "not_json"), "wabc"),
        (("refusal", None, "refusal", None), "wb"),
        (("filtered", None, None, None), "w"),
        (("not_json", "filtered", None, None), "wa"),
    ],
)
async def test_the_next_step_that_has_the_kind_is_taken(
    says: tuple[AnswerKind | None, ...], asked: str
) -> None:
    steps = (
        EscalationStep("a", when("not_json")),
        EscalationStep("b", when("refusal")),
        EscalationStep("c", when("not_json", "empty")),
    )
    by_model = dict(zip(("weak", "a", "b", "c"), says, strict=True))
    models = Models(by_model)
    outcome = await models.outcome(steps)
    assert "".join(body["model"][0] for body in models.bodies) == asked
    assert outcome.kind == by_model[models.bodies[-1]["model"]]
    assert [one.kind for one in outcome.asked] == (
        [by_model[body["model"]] for body in models.bodies] if len(asked) > 1 else []
    )


async def test_a_model_is_corrected_before_the_next_one_is_asked() -> None:
    models = Models({"weak": "not_json", "strong": "schema_violation"})
    outcome = await models.outcome(STRONG, repairs=2)
    assert [body["model"] for body in models.bodies] == ["weak"] * 3 + ["strong"] * 3
    # The stronger model gets the question as it was, and its own answers back.
    assert [len(body["messages"]) for body in models.bodies] == [1, 3, 5, 1, 3, 5]
    first, strong = models.bodies[0], models.bodies[3]
    assert {**first, "model": "strong"} == strong
    assert outcome.kind == FailureKind.SCHEMA_VIOLATION
    assert len(outcome.rejected) == 2
    assert [(one.calls, one.usage.input_tokens) for one in outcome.asked] == [(3, 15), (3, 15)]


async def test_a_prompt_of_a_stronger_model_begins_at_its_place() -> None:
    models = Models({"weak": "not_json", "strong": "not_json", "top": None})
    body = {"messages": [{"role": "user", "content": "hi"}], "model": "strong"}
    steps = (*STRONG, EscalationStep("top"))
    batch = await process_prompt_batch(
        [body, {**body, "model": "top"}, {**body, "model": "other"}],
        send=Models({**models.says, "other": "not_json"}).send,
        defaults={"response_format": ASKED},
        ladder=LadderOptions(max_repair_attempts=0, escalate=steps),
    )
    asked = [[one.model for one in outcome.asked] for outcome in batch.outcomes]
    assert asked == [["strong", "top"], [], ["other", "strong", "top"]]


@pytest.mark.parametrize("error", [RequestRefused("HTTP 400"), ConfigError("no such model")])
async def test_if_the_stronger_model_fails_the_answer_below_is_the_outcome(
    error: ProviderError,
) -> None:
    models = Models({"weak": "not_json", "strong": error})
    outcome = await models.outcome(STRONG)
    assert (outcome.kind, outcome.answer, outcome.calls) == (FailureKind.NOT_JSON, "no", 2)
    assert outcome.message.endswith(f"; asking strong failed: {error.message}")
    assert outcome.usage == CALL
    assert outcome.asked == (
        AskedModel("weak", FailureKind.NOT_JSON, 1, CALL),
        AskedModel("strong", error.kind, 1, Usage()),
    )


async def test_if_a_correction_of_the_stronger_model_fails_its_answer_is_the_outcome() -> None:
    class Failing(Models):
        async def send(self, request: PreparedRequest) -> Reply:
            if request.model == "strong" and request.rejected:
                self.bodies.append({"model": "strong"})
                raise RequestRefused("HTTP 400")
            return await super().send(request)

    outcome = await Failing({"weak": "not_json", "strong": "schema_violation"}).outcome(
        STRONG, repairs=1
    )
    assert outcome.kind == FailureKind.SCHEMA_VIOLATION
    assert outcome.message.endswith("; asking the model again failed: HTTP 400")
    assert [(one.kind, one.calls) for one in outcome.asked] == [
        (FailureKind.NOT_JSON, 2),
        (FailureKind.SCHEMA_VIOLATION, 2),
    ]
    assert outcome.usage == CALL + CALL + CALL


async def test_each_model_has_attempts_of_its_own() -> None:
    error = ServerError("HTTP 500")
    models = Models(
        {"weak": "not_json", "strong": None}, first={"weak": [error], "strong": [error]}
    )
    outcome = await models.outcome(STRONG)
    assert outcome.succeeded
    assert [one.calls for one in outcome.asked] == [2, 2]
    assert outcome.calls == 4


@pytest.mark.parametrize("schedule", SCHEDULES)
async def test_a_stronger_model_that_is_away_is_waited_for(schedule: Schedule) -> None:
    away: list[ProviderError] = [Overloaded("HTTP 503", status_code=503) for _ in range(8)]
    models = Models({"weak": "not_json", "strong": None}, first={"strong": away})
    batch = await models.run(STRONG, prompts=20, batch_size=4, schedule=schedule)
    assert {outcome.status for outcome in batch.outcomes} == {"succeeded"}
    # No answer of the model below is lost meanwhile.
    assert models.calls == {"weak": 20, "strong": 28}
    assert models.most_in_flight <= 4


async def test_a_pause_over_the_stronger_model_keeps_the_answer_below() -> None:
    error = AuthError("HTTP 401", status_code=401)
    batch = await Models({"weak": "not_json", "strong": error}).run(STRONG, prompts=3, batch_size=1)
    kinds = [outcome.kind for outcome in batch.outcomes]
    assert kinds == [FailureKind.NOT_JSON, FailureKind.AUTH, FailureKind.AUTH]


def judge(request: PreparedRequest, _: Reply) -> Judgement:
    fault = AnswerRejected(FailureKind.NOT_JSON, "no")
    next_ = escalated(request, fault.kind, STRONG)
    return Judgement() if next_ is None else Judgement(fault=fault, follow_up=next_)


@pytest.mark.parametrize(
    ("how", "calls"), [(Stop.FINISH, {0: 2, 1: 2}), (Stop.LEAVE, {}), (Stop.SETTLE, {0: 1, 1: 1})]
)
async def test_a_stop_treats_the_stronger_model_like_a_correction(
    how: Stop, calls: dict[int, int]
) -> None:
    run = Run(9, window=2, judge=judge)
    await run.full()
    run.execution.stop(how)
    await run.let_all()
    await settle()
    assert {one.request.index: one.calls for one in run.delivered} == calls
    left = {one.request.index for one in run.execution.broken_off}
    assert left == ({0, 1} if how is Stop.LEAVE else set())


@dataclass(frozen=True)
class Ladder:
    """Models above "weak", what each model says, and how often it is corrected."""

    steps: tuple[EscalationStep, ...]
    says: Mapping[str, AnswerKind | None]
    repairs: int

    def asked(self) -> tuple[AskedModel, ...]:
        """The models that are asked, as the rules say it."""
        found: list[AskedModel] = []
        model, above = "weak", list(self.steps)
        while True:
            said = self.says[model]
            kind = FailureKind(said) if said else None
            calls = 1 + (self.repairs if kind in MENDABLE else 0)
            found.append(AskedModel(model, kind, calls, Usage(5 * calls, 7 * calls)))
            while above and said not in above[0].when:
                above.pop(0)
            if kind is None or not above:
                return tuple(found)
            model = above.pop(0).model


KINDS = st.sampled_from(ANSWER_KINDS)
LADDERS = st.builds(
    Ladder,
    steps=st.lists(st.frozensets(KINDS, min_size=1), max_size=3).map(
        lambda sets: tuple(EscalationStep(f"step {n}", kinds) for n, kinds in enumerate(sets))
    ),
    says=st.fixed_dictionaries(
        {name: st.none() | KINDS for name in ("weak", "step 0", "step 1", "step 2")}
    ),
    repairs=st.integers(0, 2),
)


@given(
    ladder=LADDERS,
    prompts=st.integers(1, 8),
    schedule=st.sampled_from(SCHEDULES),
    batch_size=st.integers(1, 5),
)
def test_there_is_one_outcome_per_prompt_and_its_tokens_are_those_of_all_calls(
    ladder: Ladder, prompts: int, schedule: Schedule, batch_size: int
) -> None:
    models = Models(ladder.says)
    batch = asyncio.run(
        models.run(
            ladder.steps,
            prompts=prompts,
            repairs=ladder.repairs,
            schedule=schedule,
            batch_size=batch_size,
        )
    )
    asked = ladder.asked()
    assert [outcome.index for outcome in batch.outcomes] == list(range(prompts))
    for outcome in batch.outcomes:
        assert outcome.kind == asked[-1].kind
        assert outcome.asked == (asked if len(asked) > 1 else ())
        assert outcome.calls == sum(one.calls for one in asked)
    assert sum((outcome.usage for outcome in batch.outcomes), Usage()) == models.answered
    assert models.calls == {one.model: prompts * one.calls for one in asked}
    assert models.most_in_flight <= batch_size
