"""Run a file of prompts through a provider, from the command line."""

import sys
from typing import Any

from django.core.management.base import CommandParser

from batches.management.bulk.options import add_bulk_options
from batches.management.bulk.usage import UsageCommand

EPILOG = """\
input formats:
  jsonl   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
          or {"prompt": "..."} or {"messages": [...]}, with optional custom_id and parameters,
          or only a request body
  csv     a header and a column of prompts (--column), optionally a column custom_id;
  tsv     delimiter and encoding are detected
  xlsx    the first sheet of a workbook, or
  parquet a Parquet file, with the same columns
  text    one prompt per line
  with --template, each row of a table, or each object of a jsonl, becomes a prompt

examples:
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl
  process_batch questions.txt --provider vllm --model llama --output out.jsonl --batch-size 250
  process_batch prompts.jsonl --base-url https://api.example/v1 --api-key-env EXAMPLE_KEY \\
      --model some-model --output out.jsonl --rpm 500 --tpm 200000 --max-cost 25 --price 0.5,1.5
  process_batch reviews.csv --template prompt.j2 --base-url https://api.example/v1 \\
      --api-key-env EXAMPLE_KEY --model some-model --output out.csv
  process_batch reviews.xlsx --column review --provider vllm --model llama --output out.parquet
  process_batch prompts.jsonl --provider vllm --model llama --output out.jsonl --pilot 50
  process_batch --resume batch_0123 --output out.jsonl
  process_batch --retry batch_0123 --output out.jsonl

exit status:
  0         all prompts succeeded
  1         some failed, or never ran because the batch was cancelled or expired
  2         usage error, bad input, output that cannot be written; or paused: rejected key, no
            quota left, spending limit reached, pilot done, wrong model or address, provider
            unreachable
  130, 143  stopped by Ctrl-C or SIGTERM
  141       the reader closed the output pipe

A batch ID may be shortened as long as it is unique. List, show and change batches, and write their
results: python manage.py batches --help

The key is read from the environment and is never stored.
If the provider cannot be reached, the prompts wait up to PROVIDER_PATIENCE seconds (an environment
variable, default 900); 0 pauses the batch immediately.
"""


class Command(UsageCommand):
    help = "Run a file of prompts through a provider and write the results in input order."
    epilog = EPILOG
    requires_migrations_checks = False
    # They load every page of the server.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        add_bulk_options(parser)

    def handle(self, *_args: Any, **options: Any) -> None:
        # It takes long to load, and the help of the command does not need it.
        from batches.management.work import Work  # noqa: PLC0415 - takes long

        if status := Work(options, self.stdout).perform():
            sys.exit(status)
