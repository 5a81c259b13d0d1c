"""Every word that providers use for the end of an answer is understood, however it is spelled."""

from collections.abc import Callable

import pytest

from batches.engine.errors import FailureKind, ServerError
from batches.engine.records import LadderOptions
from batches.engine.replies.finish_reasons import ENDINGS, Ending, ending_of, raise_if_broken_off
from batches.engine.structured.ladder import judge_reply
from tests.engine.makers import reply, request

KINDS = {
    Ending.CUT: FailureKind.TRUNCATED,
    Ending.ERROR: FailureKind.TRUNCATED,
    Ending.FILTERED: FailureKind.FILTERED,
}


@pytest.mark.parametrize(
    ("reason", "ending"),
    [
        ("stop", Ending.COMPLETE),
        ("STOP", Ending.COMPLETE),
        ("FinishReason.STOP", Ending.COMPLETE),
        ("FINISH_REASON_STOP", Ending.COMPLETE),
        ("end_turn", Ending.COMPLETE),
        ("endTurn", Ending.COMPLETE),
        ("stop_sequence", Ending.COMPLETE),
        ("eos", Ending.COMPLETE),
        ("eos_token", Ending.COMPLETE),
        ("COMPLETE", Ending.COMPLETE),
        ("length", Ending.CUT),
        ("max_tokens", Ending.CUT),
        ("MAX_TOKENS", Ending.CUT),
        ("FinishReason.MAX_TOKENS", Ending.CUT),
        ("maxTokens", Ending.CUT),
        ("max-tokens", Ending.CUT),
        ("Max Tokens", Ending.CUT),
        ("model_length", Ending.CUT),
        ("max_output_tokens", Ending.CUT),
        ("model_context_window_exceeded", Ending.CUT),
        ("maxPredictedTokensReached", Ending.CUT),
        ("contextLengthReached", Ending.CUT),
        ("ERROR_LIMIT", Ending.CUT),
        ("content_filter", Ending.FILTERED),
        ("content_filtered", Ending.FILTERED),
        ("safety", Ending.FILTERED),
        ("SAFETY", Ending.FILTERED),
        ("RECITATION", Ending.FILTERED),
        ("PROHIBITED_CONTENT", Ending.FILTERED),
        ("BLOCKLIST", Ending.FILTERED),
        ("SPII", Ending.FILTERED),
        ("sensitive", Ending.FILTERED),
        ("guardrail_intervened", Ending.FILTERED),
        ("error", Ending.ERROR),
        ("abort", Ending.ERROR),
        ("network_error", Ending.ERROR),
        ("insufficient_system_resource", Ending.ERROR),
        ("MALFORMED_FUNCTION_CALL", Ending.ERROR),
        ("OTHER", Ending.ERROR),
        ("tool_calls", Ending.TOOL),
        ("tool_use", Ending.TOOL),
        ("TOOL_CALL", Ending.TOOL),
        ("function_call", Ending.TOOL),
        ("", Ending.UNKNOWN),
        ("null", Ending.UNKNOWN),
        ("FINISH_REASON_UNSPECIFIED", Ending.UNKNOWN),
        ("something new", Ending.UNKNOWN),
        ("s" * 10_000, Ending.UNKNOWN),
    ],
)
def test_a_reason_is_understood_however_it_is_spelled(reason: str, ending: Ending) -> None:
    assert ending_of(reason) is ending


@pytest.mark.parametrize("reason", ENDINGS)
@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title])
def test_every_reason_of_the_table_decides_what_the_answer_is_worth(
    reason: str, spelled: Callable[[str], str]
) -> None:
    judgement = judge_reply(
        request(schema=True), reply('{"n": 1}', finish_reason=spelled(reason)), LadderOptions()
    )
    expected = KINDS.get(ENDINGS[reason])
    assert (judgement.fault.kind if judgement.fault else None) is expected
    assert judgement.follow_up is None


@pytest.mark.parametrize("reason", ENDINGS)
def test_half_an_answer_is_no_success_whatever_the_reason(reason: str) -> None:
    judgement = judge_reply(request(schema=True), reply('{"n": 1', finish_reason=reason))
    assert judgement.fault is not None
    assert judgement.fault.kind in {FailureKind.TRUNCATED, FailureKind.FILTERED}


def test_an_answer_that_an_error_broke_off_is_called_for_again_with_its_body_kept() -> None:
    for reason in ENDINGS:
        broken = reply("half an", finish_reason=reason, body='{"paid": 1}')
        if ENDINGS[reason] is not Ending.ERROR:
            raise_if_broken_off(broken)
            continue
        with pytest.raises(ServerError) as error:
            raise_if_broken_off(broken)
        assert (error.value.body, error.value.status_code) == ('{"paid": 1}', 200)
        assert reason in error.value.message
