"""Check the prompts of an input while a user waits, before a batch is created from it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from batches.conf import conf
from batches.inputs.prompt_files import InputOptions, read_prompts
from batches.inputs.prompts import LineError, NewPrompt
from batches.intake.demand import Demand
from batches.intake.pages import take_prompts, twins

# The most errors that are shown at once.
MAX_ERRORS = 100
# Up to this many ids are kept in memory to find duplicates; beyond that, the reader finds them.
IDS_IN_MEMORY = 200_000
SAMPLES = 3


@dataclass(slots=True)
class Checked:
    """The content of an input: the number of prompts, their demand, and the first prompts."""

    demand: Demand
    prompts: int = 0
    samples: list[NewPrompt] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)

    def take(self, page: Sequence[NewPrompt]) -> list[LineError]:
        """Count a page of prompts, and return the errors of duplicates."""
        errors = twins(page, self.ids)
        if len(self.ids) < IDS_IN_MEMORY:
            self.ids.update(prompt.custom_id for prompt in page)
        self.samples += page[: SAMPLES - len(self.samples)]
        self.prompts += len(page)
        for prompt in page:
            self.demand.count(prompt)
        return errors


def check_prompts(stream: BinaryIO, options: InputOptions) -> Checked:
    """Read a whole input, as the reader of a batch will. Raise InputRefused."""
    found = Checked(Demand(options.defaults, options.endpoint))
    items = read_prompts(stream, options)
    most = conf().MAX_PROMPTS_PER_BATCH
    take_prompts(items, found.take, most=most, most_errors=MAX_ERRORS)
    return found
