"""`python -m benchmarks [NAME ...]`: measure, print a table, draw the plots in docs/."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from importlib import import_module
from types import ModuleType

from benchmarks.tools import as_table
from tests.servers import ServerNotStarted

# Modules with a TITLE and measure(); imported when they are asked for, since they need
# requirements/dev.txt.
MEASUREMENTS = (
    "five_prompts",
    "starting",
    "schedules",
    "peers",
    "memory",
    "long_texts",
    "reuse",
    "prefixes",
    "tables",
    "schemas",
    "workers",
    "work_alone",
    "scaling",
    "limits",
    "api",
    "batches_list",
    "uploads",
    "faults",
)
# Modules with a main() and options of their own. Without a measure() too, they are run when named.
WITH_OPTIONS = ("outages", "million", "peers")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    choices = ", ".join(MEASUREMENTS)
    alone = f"alone, with options (--help): {', '.join(WITH_OPTIONS)}"
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{choices}; default: all; {alone}"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    try:
        if len(sys.argv) > 1 and sys.argv[1] in WITH_OPTIONS:
            return with_options(*sys.argv[1:])
        arguments = parser.parse_args()
        unknown = set(arguments.names) - set(MEASUREMENTS)
        if unknown:
            parser.error(f"there is no {', '.join(sorted(unknown))}; there is {choices}")
        return run(loaded(arguments.names or MEASUREMENTS), as_json=arguments.json)
    except ModuleNotFoundError as error:
        parser.error(
            f"{error.name} is not installed: run `make bench`, or install requirements/dev.txt"
        )
    except ServerNotStarted as error:
        parser.error(str(error))


def with_options(name: str, *options: str) -> int:
    status: int = import_module(f"benchmarks.{name}").main(options)
    return status


def loaded(names: Iterable[str]) -> dict[str, ModuleType]:
    """All of them before the first is run, so that what is missing is told at once."""
    return {name: import_module(f"benchmarks.{name}") for name in names}


def run(measurements: dict[str, ModuleType], *, as_json: bool) -> int:
    rows = {}
    for name, module in measurements.items():
        rows[name] = module.measure()
        if not as_json:
            print(as_table(module.TITLE, rows[name]), end="\n\n", flush=True)
    if as_json:
        print(json.dumps({name: [asdict(row) for row in some] for name, some in rows.items()}))
    return 0 if all(row.holds for some in rows.values() for row in some) else 1


if __name__ == "__main__":
    sys.exit(main())
