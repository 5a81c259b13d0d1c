"""`python -m benchmarks [NAME ...]`: measure, print a table, draw the plots in docs/."""

import argparse
import json
import sys
from dataclasses import asdict

from benchmarks import api, cpu, five_prompts, limits, memory, schedules, schemas, uploads, workers
from benchmarks.tools import as_table

MEASUREMENTS = {
    "five_prompts": five_prompts,
    "schedules": schedules,
    "cpu": cpu,
    "memory": memory,
    "schemas": schemas,
    "workers": workers,
    "limits": limits,
    "api": api,
    "uploads": uploads,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="default: all")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    arguments = parser.parse_args()
    rows = {}
    for name in arguments.names or MEASUREMENTS:
        rows[name] = MEASUREMENTS[name].measure()
        if not arguments.json:
            print(as_table(MEASUREMENTS[name].TITLE, rows[name]), end="\n\n", flush=True)
    if arguments.json:
        print(json.dumps({name: [asdict(row) for row in some] for name, some in rows.items()}))
    return 0 if all(row.holds for some in rows.values() for row in some) else 1


if __name__ == "__main__":
    sys.exit(main())
