"""`process_batch` with limits and budgets, and with providers that are paused."""

import json
import re

import pytest

from batches.models import Batch, Provider, Result
from simulator import Behaviour, SimulatedProvider
from tests.command_line import Commands, prompt_lines
from tests.management.bulk import batch_id

PRICES = {"simulated-small": {"input": 1000, "output": 1000}}


def tokens_of_largest_call() -> int:
    return max(result.input_tokens + result.output_tokens for result in Result.objects.all())


def successes() -> int:
    """Return how many prompts have succeeded."""
    return Result.objects.filter(status="succeeded").count()


def test_a_rate_that_was_told_is_kept_and_belongs_to_the_provider(
    cli: Commands,
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--rpm", "1200", "--tpm", "1000000", "--json")
    assert ended.status == 0, ended.stderr
    # At 20 a second, of which the first 20 may come at once. A busy machine only takes longer.
    assert json.loads(ended.stdout)["timing"]["total_s"] >= (60 - 20) / 20
    provider = Provider.objects.get()
    assert (provider.requests_per_minute, provider.tokens_per_minute) == (1200, 1_000_000)


def test_a_batch_pauses_when_its_tokens_are_spent_and_goes_on_with_more(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    ended = cli.process_batch("--batch-size", "4", "--max-tokens-total", "300")
    assert ended.status == 2
    assert "token limit of 300 reached" in ended.stderr
    assert "--max-tokens-total" in ended.stderr
    done = successes()
    assert 0 < done < 60
    batch = Batch.objects.get()
    assert batch.input_tokens + batch.output_tokens <= 300 + 4 * tokens_of_largest_call()
    again = cli.process_batch("--resume", batch_id(), name=None)
    assert again.status == 2
    assert successes() == done
    more = ("--resume", batch_id(), "--max-tokens-total", "1000000")
    assert cli.process_batch(*more, name=None).status == 0
    assert successes() == 60


def test_a_batch_pauses_when_its_dollars_are_spent(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(60))
    # A thousand dollars for a million tokens.
    ended = cli.process_batch(
        "--batch-size", "4", "--max-cost", "0.5", "--price", "1000,1000", "--json"
    )
    assert ended.status == 2
    reached = r"spending limit of \$0\.5 reached at \$\d\.\d+: calls in flight are kept"
    assert re.search(f"^Paused: budget: {reached}$", ended.stderr, re.MULTILINE)
    cost = float(Batch.objects.get().cost)
    assert 0.5 <= cost <= 0.5 + 4 * tokens_of_largest_call() / 1000
    assert json.loads(ended.stdout)["cost"] == cost
    assert Provider.objects.get().prices == PRICES


def test_the_cost_is_a_row_of_the_summary_and_an_unknown_price_is_no_zero(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(2))
    unknown = cli.process_batch("--json")
    assert json.loads(unknown.stdout)["cost"] is None
    assert re.search(r"cost .* price unknown", cli.process_batch().stderr)
    ended = cli.process_batch("--price", "100,200")
    shown = re.search(r"cost .* \$(\d\.\d{4}) ", ended.stderr)
    batch = Batch.objects.latest("pk")
    assert shown
    assert float(shown[1]) == float(f"{batch.cost:.4f}")
    assert batch.cost * 10**6 == 100 * batch.input_tokens + 200 * batch.output_tokens


def test_a_price_of_one_model_leaves_all_other_prices(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    assert cli.process_batch().status == 0
    own = {"input": 3, "output": 4, "cached": 0.1}
    Provider.objects.update(prices={"other": {"input": 1, "output": 2}, "simulated-small": own})
    assert cli.process_batch("--price", "0.5,1.5").status == 0
    assert Provider.objects.get().prices == {
        "other": {"input": 1, "output": 2},
        "simulated-small": {"input": 0.5, "output": 1.5, "cached": 0.1},
    }


@pytest.mark.parametrize("text", ["1", "1,2,3", "a,b", "-1,2", "nan,1", "1,inf", "1e9,1"])
def test_a_price_that_is_none_is_refused(cli: Commands, text: str) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    ended = cli.process_batch(f"--price={text}")
    assert ended.status == 2
    assert "argument --price" in ended.stderr


def test_a_price_needs_its_model_and_its_address(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    without_model = ("--base-url", cli.to_simulator[1], "--price", "1,2")
    for ended in (
        cli.process_batch(*without_model),
        cli.run(*cli.arguments("--resume", "batch_1", "--price", "1,2", name=None)),
    ):
        assert ended.status == 2
        assert "--price" in ended.stderr
    assert not Provider.objects.exists()


def test_a_budget_in_dollars_for_a_model_without_a_price_is_refused(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(5))
    ended = cli.process_batch("--max-cost", "1")
    assert ended.status == 2
    assert "--max-cost cannot be used: the price of 'simulated-small' at provider" in ended.stderr
    assert "Give it with --price" in ended.stderr
    assert simulator.calls.total() == 0
    assert not Batch.objects.exists()


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
    cli: Commands, options: tuple[str, str], message: str
) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    ended = cli.process_batch(*options)
    assert ended.status == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_provider_that_staff_have_paused_is_named_before_anything_is_made(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(3))
    assert cli.process_batch().status == 0
    Provider.objects.update(pause_reason="manual: the bill")
    ended = cli.process_batch()
    assert ended.status == 2
    assert "is paused (manual: the bill)" in ended.stderr
    assert "admin" in ended.stderr
    assert Batch.objects.count() == 1


def test_a_provider_that_its_errors_have_paused_is_tried_again(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    simulator.behaviour = Behaviour(fail_from=1, fail_status=429, fail_code="insufficient_quota")
    cli.path("prompts.jsonl", prompt_lines(12))
    ended = cli.process_batch("--batch-size", "4")
    assert ended.status == 2
    assert "quota" in ended.stderr
    assert simulator.calls.total() <= 4
    assert successes() == 0
    simulator.behaviour = Behaviour()
    ended = cli.process_batch("--json")
    assert ended.status == 0, ended.stderr
    assert json.loads(ended.stdout)["succeeded"] == 12
    assert cli.process_batch("--resume", batch_id(), name=None).status == 0
    assert successes() == 24
