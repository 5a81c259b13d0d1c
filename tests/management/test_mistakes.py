"""The mistakes of a newcomer: each is told in a line, with its remedy, and nothing is created."""

import pytest

from batches.models import Batch
from simulator import SimulatedProvider
from tests.command_line import Commands, prompt_lines

MISTAKES: dict[str, tuple[str, str]] = {
    # What is typed behind the command, and what the command answers.
    "nothing": ("process_batch", "no input given; name a file of prompts, or - for standard input"),
    "no output": ("process_batch a.csv", "no output given; name a file with --output, or - for"),
    "a misspelt option": (
        "process_batch a.csv --ouput o.jsonl",
        "there is no option --ouput. Did you mean '--output'?",
    ),
    "two inputs": ("process_batch a.csv b.csv --output o.jsonl", "an argument too many: 'b.csv'"),
    "no provider": (
        "process_batch a.csv --output o.jsonl",
        "name a provider with --provider, or an endpoint with --base-url",
    ),
    "an unknown provider": (
        "process_batch a.csv --output o.jsonl --provider x",
        "An endpoint can also be given with --base-url",
    ),
    "no scheme": (
        "process_batch a.csv --output o.jsonl --base-url host/v1 --model m",
        "is not a valid base URL; give one such as https://api.example.com/v1",
    ),
    "a key": (
        "process_batch a.csv --output o.jsonl --base-url {url} --api-key-env sk-canary",
        "give the name of an environment variable, not the key: export MY_KEY=..., then",
    ),
    "a variable that is not set": (
        "process_batch a.csv --output o.jsonl --base-url {url} --model m --api-key-env NOT_SET",
        "the environment variable NOT_SET, which should hold the API key",
    ),
    "a price": (
        "process_batch a.csv --output o.jsonl --base-url {url} --model m --price 5",
        "'5' is not two numbers, such as 0.5,1.5",
    ),
    "a budget without a price": (
        "process_batch a.csv --output o.jsonl --base-url {url} --model m --max-cost 1",
        "Give it with --price, or give --max-tokens-total instead",
    ),
    "a missing file": ("process_batch x.csv --output o.jsonl --base-url {url}", "x.csv: No such"),
    "a folder": ("process_batch . --output o.jsonl --base-url {url}", ".: Is a directory"),
    "an empty table": (
        "process_batch empty.csv --output o.jsonl --base-url {url} --model m",
        "The file is empty, or has no header: its first line must name the columns",
    ),
    "a table without rows": (
        "process_batch header.csv --output o.jsonl --base-url {url} --model m",
        "The input has no prompts: all of its lines are blank, or there are none",
    ),
    "a column of another name": (
        "process_batch question.csv --output o.jsonl --base-url {url} --model m",
        "Use --column to name the column with the prompts",
    ),
    "a folder that does not exist": (
        "process_batch a.csv --output no/o.jsonl --base-url {url} --model m",
        "no/o.jsonl: there is no folder ",
    ),
    "an output that is a folder": (
        "process_batch a.csv --output folder --base-url {url} --model m",
        "folder is a directory; name a file",
    ),
    "a workbook as output": (
        "process_batch a.csv --output o.XLSX --base-url {url} --model m",
        "o.XLSX: results are JSON lines (.jsonl), or a table if a name ends in .csv or .parquet",
    ),
    "no sub-command": (
        "batches",
        "give a sub-command: list, show, results, compare, cancel, retry, resume",
    ),
    "a misspelt sub-command": ("batches lst", "Did you mean 'list'?"),
    "no ID": ("batches show", "the following arguments are required: ID"),
    "an unknown ID": ("batches cancel zzz", "there is no batch 'zzz'"),
    "a misspelt status": ("batches list --status pausd", "Did you mean 'paused'?"),
    "a misspelt kind": ("batches retry zzz --kind timeot", "Did you mean 'timeout'?"),
    "no rows": ("batches list --limit 0", "must be between 1 and 100000"),
    "no port": ("serve --port x", "'x' is not a whole number"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_answered_with_its_remedy(
    cli: Commands, simulator: SimulatedProvider, name: str
) -> None:
    cli.path("a.csv", "prompt\nhi\n")
    cli.path("empty.csv", "")
    cli.path("header.csv", "prompt\n")
    cli.path("question.csv", "question\nhi\n")
    (cli.folder / "folder").mkdir()
    typed, remedy = MISTAKES[name]
    ended = cli.run(*typed.format(url=simulator.base_url).split())
    assert ended.status == 2, ended.stderr
    assert remedy in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "canary" not in ended.stderr
    assert ended.stdout == ""
    assert not Batch.objects.exists()


def test_a_longer_base_url_is_answered_with_the_shorter_one(
    cli: Commands, simulator: SimulatedProvider
) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    wrong = f"{simulator.base_url}/chat/completions"
    ended = cli.process_batch("--base-url", wrong, "--model", "m")
    assert f"did you mean {simulator.base_url}?" in ended.stderr
    assert ended.status == 2


def test_ctrl_c_before_a_command_has_begun_leaves_no_traceback(cli: Commands) -> None:
    ended = cli.run("shell", "-v0", "-c", "raise KeyboardInterrupt")
    assert (ended.status, ended.stderr) == (130, "")


def test_one_prompt_is_one_prompt(cli: Commands) -> None:
    cli.path("prompts.jsonl", prompt_lines(1))
    ended = cli.process_batch()
    assert ": 1 prompt for http" in ended.stderr
    shown = cli.run("batches", "show", "prompts.jsonl").stdout
    assert f"{cli.to_simulator[1]}/chat/completions" in shown
