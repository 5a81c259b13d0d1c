"""The prompts that `make demo` runs."""

from batches.engine.endpoints import ENDPOINTS
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import NewPrompt
from tests.processes.stack import ROOT


def test_every_line_of_the_examples_is_a_prompt() -> None:
    options = InputOptions(
        endpoint=ENDPOINTS[0], defaults={"model": "simulated-small"}, max_line_bytes=1_000_000
    )
    with (ROOT / "examples" / "prompts.jsonl").open("rb") as stream:
        items = list(read_prompts(stream, options))
    assert len(items) == 200
    prompts = [item for item in items if isinstance(item, NewPrompt)]
    assert prompts == items
    failing = [prompt for prompt in prompts if prompt.custom_id.startswith("fail-")]
    assert len(failing) == 9
    assert all("[simulate: " in prompt.body for prompt in failing)
