"""The estimate of a batch says what it rests on."""

import re

from batches.models import Batch
from tests.command_line import Commands, prompt_lines


def estimate_of(stderr: str) -> str:
    [line] = [line for line in stderr.splitlines() if line.startswith("Estimate: ")]
    return line


def test_answers_that_nothing_limits_are_assumed_and_then_known(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(4))
    first = estimate_of(cli.process_batch().stderr)
    assert "about 2,000 output tokens, if 500 tokens for each of 4 answers are right" in first
    assert "nothing limits them (max_tokens would)" in first
    answered = Batch.objects.get()
    each = answered.output_tokens // answered.succeeded
    second = estimate_of(cli.process_batch().stderr)
    assert second.endswith(f"about {4 * each:,} output tokens, by earlier answers of the model")


def test_answers_with_a_limit_are_at_most_this_long(cli: Commands) -> None:
    line = '{{"prompt": "a", "max_tokens": {}}}\n'
    cli.path("prompts.jsonl", line.format(7) + line.format(8))
    said = estimate_of(cli.process_batch("--price", "1,1000").stderr)
    assert re.search(r"and at most 15 output tokens, at most \$0\.0[12]$", said)
