"""`process_batch` with limits and budgets, and with providers that are paused."""

import json
from typing import cast

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.processes.bulk import batch_id, prompt_lines, stored
from tests.processes.conftest import CommandLine

LARGEST_CALL = "SELECT MAX(input_tokens + output_tokens) FROM batches_result"
PRICES = '{"simulated-small": {"input": 1000, "output": 1000}}'


def number(cli: CommandLine, sql: str) -> float:
    """The only figure that a query tells."""
    return float(cast("str", stored(cli, sql)[0][0]))


def results(cli: CommandLine) -> float:
    """The prompts that have succeeded."""
    return number(cli, "SELECT COUNT(*) FROM batches_result WHERE status = 'succeeded'")


def test_a_rate_that_was_told_is_kept_and_belongs_to_the_provider(
    cli: CommandLine,
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--rpm", "1200", "--tpm", "1000000", "--json")
    assert ended.status == 0, ended.stderr
    # At 20 a second, of which the first 20 may come at once. A busy machine only takes longer.
    assert json.loads(ended.stdout)["timing"]["total_s"] >= (60 - 20) / 20
    told = "SELECT requests_per_minute, tokens_per_minute FROM batches_provider"
    assert stored(cli, told) == [(1200, 1_000_000)]


def test_a_batch_pauses_when_its_tokens_are_spent_and_goes_on_with_more(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--batch-size", "4", "--max-tokens-total", "300")
    assert ended.status == 2
    assert "--max-tokens-total of 300 is spent" in ended.stderr
    assert "--max-tokens-total" in ended.stderr
    done = results(cli)
    assert 0 < done < 60
    spent = number(cli, "SELECT input_tokens + output_tokens FROM batches_batch")
    each = number(cli, LARGEST_CALL)
    assert spent <= 300 + 4 * each
    again = cli.process_batch("--resume", batch_id(cli), name=None)
    assert again.status == 2
    assert results(cli) == done
    more = ("--resume", batch_id(cli), "--max-tokens-total", "1000000")
    assert cli.process_batch(*more, name=None).status == 0
    assert results(cli) == 60


def test_a_batch_pauses_when_its_dollars_are_spent(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(2))
    assert cli.process_batch().status == 0
    # A thousand dollars for a million tokens.
    stored(cli, "UPDATE batches_provider SET prices = ?", PRICES)
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--batch-size", "4", "--max-cost", "0.5")
    assert ended.status == 2
    assert "--max-cost of $0.500000 is spent" in ended.stderr
    cost = number(cli, "SELECT cost FROM batches_batch ORDER BY id DESC LIMIT 1")
    assert 0.5 <= cost <= 0.5 + 4 * number(cli, LARGEST_CALL) / 1000


def test_a_budget_in_dollars_for_a_model_without_a_price_is_refused(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(5))
    ended = cli.process_batch("--max-cost", "1")
    assert ended.status == 2
    assert "--max-cost cannot be used: the price of 'simulated-small' at provider" in ended.stderr
    assert simulator.calls.total() == 0
    assert stored(cli, "SELECT COUNT(*) FROM batches_batch") == [(0,)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--rpm", "0"), "must be between 1 and"),
        (("--tpm", "many"), "--tpm"),
        (("--max-cost", "-1"), "--max-cost"),
        (("--max-cost", "NaN"), "--max-cost"),
        (("--max-cost", "0.0000001"), "--max-cost"),
        (("--max-tokens-total", "1e3"), "--max-tokens-total"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    cli: CommandLine, options: tuple[str, str], message: str
) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    ended = cli.process_batch(*options)
    assert ended.status == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_provider_that_staff_have_paused_is_named_before_anything_is_made(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch().status == 0
    stored(cli, "UPDATE batches_provider SET pause_reason = 'manual: the bill'")
    ended = cli.process_batch()
    assert ended.status == 2
    assert "is paused (manual: the bill)" in ended.stderr
    assert "admin" in ended.stderr
    assert stored(cli, "SELECT COUNT(*) FROM batches_batch") == [(1,)]


def test_a_provider_that_its_errors_have_paused_is_tried_again(
    cli: CommandLine, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(fail_from=1, fail_status=429, fail_code="insufficient_quota")
    cli.path("prompts.jsonl", prompt_lines(12))
    ended = cli.process_batch("--batch-size", "4")
    assert ended.status == 2
    assert "quota" in ended.stderr
    assert simulator.calls.total() <= 4
    assert results(cli) == 0
    simulator.behaviour = Behaviour()
    ended = cli.process_batch("--json")
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["succeeded"] == 12
    assert cli.process_batch("--resume", batch_id(cli), name=None).status == 0
    assert results(cli) == 24


def first_batch(cli: CommandLine) -> str:
    [(public_id,)] = stored(cli, "SELECT public_id FROM batches_batch ORDER BY id LIMIT 1")
    return str(public_id)
