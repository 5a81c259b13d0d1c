"""What the knobs and the directives decide, as tables: no server runs here."""

import statistics
from collections import Counter
from dataclasses import replace

import pytest

from simulator.behaviour import Behaviour, InvalidOption, descriptions, knobs, plan_call, turned
from simulator.directives import BadDirective
from simulator.effects import (
    Answer,
    BrokenBody,
    Effect,
    Failure,
    Hang,
    Redirect,
    Reset,
)

PROMPTS = [f"prompt {number}" for number in range(4000)]


def effects(behaviour: Behaviour, prompt: str, calls: int) -> list[Effect]:
    return [plan_call(behaviour, prompt, number).effect for number in range(1, calls + 1)]


def latencies(spec: str) -> list[float]:
    behaviour = Behaviour(latency=spec)
    return [plan_call(behaviour, prompt, 1).latency for prompt in PROMPTS]


def test_an_ordinary_call_is_answered_at_once() -> None:
    plan = plan_call(Behaviour(), "hello", 1)
    assert (plan.latency, plan.effect) == (0.0, Answer("plain"))


def test_the_same_calls_have_the_same_fate_in_every_run() -> None:
    behaviour = Behaviour(latency="uniform:0,1", error_rate="500=0.3", malformed_rate=0.3)
    runs = [[plan_call(behaviour, prompt, 2) for prompt in PROMPTS[:200]] for _ in range(2)]
    assert runs[0] == runs[1]


def test_another_seed_gives_other_fates() -> None:
    behaviour = Behaviour(latency="uniform:0,1")
    seconds = {plan_call(replace(behaviour, seed=seed), "hello", 1).latency for seed in range(20)}
    assert len(seconds) == 20


def test_a_repeated_call_gets_a_new_chance() -> None:
    behaviour = Behaviour(error_rate="500=0.5")
    assert len(set(effects(behaviour, "hello", 40))) == 2


@pytest.mark.parametrize("spec", ["0.5", "fixed:0.5"])
def test_a_fixed_latency_is_that_of_every_call(spec: str) -> None:
    assert set(latencies(spec)) == {0.5}


def test_a_uniform_latency_fills_its_range() -> None:
    found = latencies("uniform:0.1,0.9")
    assert 0.1 <= min(found) < 0.15
    assert 0.85 < max(found) <= 0.9
    assert statistics.mean(found) == pytest.approx(0.5, abs=0.03)


def test_a_lognormal_latency_has_its_median_and_a_long_tail() -> None:
    found = latencies("lognormal:0.3,0.8")
    assert statistics.median(found) == pytest.approx(0.3, rel=0.1)
    assert max(found) > 2


def test_errors_come_at_their_rates() -> None:
    behaviour = Behaviour(
        error_rate={500: 0.2, 429: 0.1}, reset_rate=0.1, hang_rate=0.1, malformed_rate=0.3
    )
    counts = Counter(type(plan_call(behaviour, prompt, 1).effect) for prompt in PROMPTS)
    shares = {kind: count / len(PROMPTS) for kind, count in counts.items()}
    expected = {Failure: 0.3, Reset: 0.1, Hang: 0.1, BrokenBody: 0.3, Answer: 0.2}
    assert shares == pytest.approx(expected, abs=0.04)


def test_a_mix_has_each_of_its_faults_at_its_share() -> None:
    behaviour = Behaviour(
        latency="0.1",
        mix="0.2 status=429 retry_after=1; 0.1 latency=9; 0.1 body=long_content_length; 0.2 reset",
    )
    plans = [plan_call(behaviour, prompt, 1) for prompt in PROMPTS]
    counts = Counter((plan.latency, plan.effect) for plan in plans)
    shares = {what: count / len(PROMPTS) for what, count in counts.items()}
    expected = {
        (0.1, Failure(429, None, "1")): 0.2,
        (9.0, Answer("plain")): 0.1,
        (0.1, BrokenBody("long_content_length")): 0.1,
        (0.1, Reset()): 0.2,
        (0.1, Answer("plain")): 0.4,
    }
    assert shares == pytest.approx(expected, abs=0.04)
    assert plans == [plan_call(behaviour, prompt, 1) for prompt in PROMPTS]


@pytest.mark.parametrize(
    ("mix", "reason"),
    [
        ("lots reset", "does not begin with a share"),
        ("2 reset", "between 0 and 1"),
        ("0.6 reset; 0.6 hang", "exceed 1 together"),
        ("0.1 status=200", "status"),
        ("0.1 stauts=500", "unknown option 'stauts'"),
    ],
)
def test_a_mix_that_cannot_be_is_refused(mix: str, reason: str) -> None:
    with pytest.raises(InvalidOption, match=reason):
        turned(Behaviour(), {"mix": mix})


def test_malformed_replies_come_in_several_kinds() -> None:
    behaviour = Behaviour(malformed_rate=1.0)
    found = {plan_call(behaviour, prompt, 1).effect for prompt in PROMPTS[:100]}
    assert found == {BrokenBody("truncated"), BrokenBody("html"), BrokenBody("empty")}


@pytest.mark.parametrize(
    ("directive", "effect"),
    [
        ("status=500", Failure(500)),
        ("status=429 code=insufficient_quota", Failure(429, "insufficient_quota")),
        ("status=429 retry_after=0.2", Failure(429, None, "0.2")),
        ("body=truncated", BrokenBody("truncated")),
        ("body=huge mib=3", BrokenBody("huge", mib=3)),
        ("status=502 body=html", BrokenBody("html", status=502)),
        ("redirect=http://[::1]:8000/x", Redirect("http://[::1]:8000/x")),
        ("redirect=http://example.com/ status=302", Redirect("http://example.com/", 302)),
        ("answer=fenced", Answer("fenced")),
        ("reset", Reset()),
        ("hang", Hang()),
    ],
)
def test_a_directive_wins_over_the_knobs(directive: str, effect: Effect) -> None:
    behaviour = Behaviour(error_rate="503=1")
    prompt = f"Summarise this. [simulate: {directive}] Thank you."
    assert effects(behaviour, prompt, 3) == [effect] * 3


def test_a_directive_about_latency_leaves_the_rest_to_the_knobs() -> None:
    plan = plan_call(Behaviour(error_rate="503=1"), "[simulate: latency=1.5]", 1)
    assert (plan.latency, plan.effect) == (1.5, Failure(503))


def test_a_directive_with_times_ends() -> None:
    found = effects(Behaviour(), "[simulate: status=500 times=2]", 4)
    assert found == [Failure(500), Failure(500), Answer("plain"), Answer("plain")]


def test_a_directive_of_a_turn_leaves_the_others_alone() -> None:
    prompt = "[simulate: answer=not_json turn=1] [simulate: status=500 times=1 turn=2]"
    found = [
        plan_call(Behaviour(), prompt, number, turn).effect
        for turn in (1, 2, 3)
        for number in (1, 2)
    ]
    bad, good = Answer("not_json"), Answer("plain")
    assert found == [bad, bad, Failure(500), good, good, good]


def test_a_directive_of_a_model_leaves_the_others_alone() -> None:
    prompt = "[simulate: answer=not_json model=small] [simulate: status=500 times=1 model=large]"
    found = [
        plan_call(Behaviour(), prompt, number, 1, model).effect
        for model in ("small", "large", "other")
        for number in (1, 2)
    ]
    bad, good = Answer("not_json"), Answer("plain")
    assert found == [bad, bad, Failure(500), good, good, good]


def test_directives_with_times_follow_one_another() -> None:
    prompt = (
        "[simulate: status=500 times=1] [simulate: reset times=2] "
        "[simulate: answer=refusal] [simulate: latency=0.25]"
    )
    assert effects(Behaviour(), prompt, 5) == [
        Failure(500),
        Reset(),
        Reset(),
        Answer("refusal"),
        Answer("refusal"),
    ]
    assert {plan_call(Behaviour(), prompt, number).latency for number in range(1, 6)} == {0.25}


@pytest.mark.parametrize(
    ("directive", "complaint"),
    [
        ("statsu=500", "unknown option 'statsu'"),
        ("status=204", "status: "),
        ("status=302", "below 400"),
        ("status=abc", "status"),
        ("times=0 reset", "times"),
        ("body=odd", "body"),
        ("latency=soon", "'soon' is not a latency"),
        ("reset hang", "only one of"),
        ("mib=3", "mib needs"),
        ("retry_after=1", "need a status"),
        ("redirect=http://x/ status=500", "between 300 and 399"),
    ],
)
def test_a_wrong_directive_is_explained(directive: str, complaint: str) -> None:
    with pytest.raises(BadDirective) as raised:
        plan_call(Behaviour(), f"[simulate: {directive}]", 1)
    assert complaint in str(raised.value)
    assert directive in str(raised.value)


@pytest.mark.parametrize("text", ["[simulate", "simulate: reset", "[simulate: reset", "[x: reset]"])
def test_text_that_is_no_directive_is_ignored(text: str) -> None:
    assert effects(Behaviour(), text, 1) == [Answer("plain")]


@pytest.mark.parametrize(
    ("knob", "value", "complaint"),
    [
        ("latencey", "1", "unknown option 'latencey'; the options are seed, latency"),
        ("latency", "fast", "latency: 'fast' is not a latency; write one of"),
        ("latency", "-1", "latency"),
        ("latency", "uniform:2,1", "latency"),
        ("latency", "lognormal:1", "latency"),
        ("latency", "nan", "latency"),
        ("error_rate", "500", "error_rate: '500' is not STATUS=RATE"),
        ("error_rate", "200=0.5", "error_rate: '200=0.5'"),
        ("error_rate", "500=1.5", "error_rate: '500=1.5': a rate must be between 0 and 1"),
        ("hang_rate", "2", "hang_rate"),
        ("seed", "x", "seed"),
        ("burst", "-1", "burst"),
        ("answer_form", "nice", "answer_form"),
        ("requests_per_second", "inf", "requests_per_second"),
    ],
)
def test_a_wrong_knob_is_named_in_one_line(knob: str, value: str, complaint: str) -> None:
    with pytest.raises(InvalidOption) as raised:
        turned(Behaviour(), {knob: value})
    assert str(raised.value).startswith(complaint)
    assert "\n" not in str(raised.value)


def test_rates_that_exceed_one_together_are_refused() -> None:
    with pytest.raises(InvalidOption, match="exceed 1 together"):
        turned(Behaviour(reset_rate=0.6), {"error_rate": {"500": 0.5}})


def test_turning_a_knob_leaves_the_others() -> None:
    before = Behaviour(seed=7, latency="0.5", models=["a", "b"])
    after = turned(before, {"latency": 0.25, "announce_limits": "no"})
    assert after == replace(before, latency="0.25", announce_limits=False)


def test_knobs_may_be_written_as_on_a_command_line_or_as_values() -> None:
    assert Behaviour(models="a, b") == Behaviour(models=("a", "b"))
    assert Behaviour(error_rate="500=0.5,429=0.1") == Behaviour(error_rate={500: 0.5, 429: 0.1})


def test_every_knob_is_described() -> None:
    assert descriptions().keys() == knobs(Behaviour()).keys()
    assert all(descriptions().values())
