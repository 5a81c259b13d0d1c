"""Rules: what breaks them, and how they are written."""

import re
from decimal import Decimal

import pytest

from batches.limits.rules import EXAMPLE, Rules, RunFigures, rules_in, rules_of


def figures(done: int, failed: int = 0, cost: str | None = "0") -> RunFigures:
    return RunFigures(done, failed, None if cost is None else Decimal(cost))


@pytest.mark.parametrize(
    ("rules", "outcomes", "words"),
    [
        ({}, figures(100, 100, "1000"), ""),
        ({"max_failed": 0.05}, figures(100, 5), ""),
        ({"max_failed": 0.05}, figures(100, 6), "6 of 100 prompts failed (6.00%)"),
        ({"max_failed": 0.05}, figures(19, 19), ""),
        ({"max_failed": 0.05}, figures(20, 2), "more than max_failed of 0.05"),
        ({"max_failed": 0}, figures(1000, 1), "1 of 1,000 prompts failed (0.10%)"),
        ({"max_failed": 1}, figures(1000, 1000), ""),
        ({"max_cost_per_row": 0.002}, figures(100, 0, "0.2"), ""),
        ({"max_cost_per_row": 0.002}, figures(100, 0, "0.21"), "100 prompts cost $0.2100"),
        ({"max_cost_per_row": 0.002}, figures(100, 0, "0.21"), "$0.002100 each"),
        ({"max_cost_per_row": 0.002}, figures(19, 0, "100"), ""),
        ({"max_cost_per_row": 0.002}, figures(100, 0, None), "no price is known"),
        ({"max_failed": 0.5, "max_cost_per_row": 1}, figures(100, 0, "200"), "max_cost_per_row"),
    ],
)
def test_what_breaks_rules(rules: dict[str, float], outcomes: RunFigures, words: str) -> None:
    broken = Rules.model_validate(rules).broken_by(outcomes)
    assert words in broken
    assert bool(broken) == bool(words)


def test_fewer_outcomes_can_be_judged() -> None:
    rules = Rules(max_failed=0.1)
    assert rules.broken_by(figures(3, 1), least=1)
    assert not rules.broken_by(figures(0), least=0)


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        (EXAMPLE, Rules(max_failed=0.05, max_cost_per_row=0.002)),
        (" max_failed = 0.05 ", Rules(max_failed=0.05)),
        ("max_failed=0", Rules(max_failed=0)),
        ('{"max_failed": 1}', Rules(max_failed=1)),
        ("{}", Rules()),
    ],
)
def test_rules_are_read_from_a_text(text: str, rules: Rules) -> None:
    assert rules_in(text) == rules
    assert rules_of(rules.stored()) == rules


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is not one rule, such as max_failed=0.05"),
        ("0.05", "is not one rule"),
        ("max_failed", "is not one rule"),
        ("max_failed=much", "is not one rule"),
        ("max_failed=0.1,max_failed=0.2", "is not one rule"),
        ("max_fail=0.1", "There is no 'max_fail'."),
        ("max_fail=0.1", "Did you mean 'max_failed'? Known are 'max_failed', 'max_cost_per_row'."),
        ("max_failed=1.5", "Invalid value for 'max_failed': 1.5."),
        ("max_failed=-1", "a number of at least 0"),
        ("max_failed=nan", "max_failed"),
        ("max_cost_per_row=inf", "max_cost_per_row"),
        ('{"max_failed": "0.1"}', "max_failed"),
        ('{"max_failed": true}', "max_failed"),
        ("{", "is not JSON"),
    ],
)
def test_other_texts_are_refused_with_what_would_be_right(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        rules_in(text)
