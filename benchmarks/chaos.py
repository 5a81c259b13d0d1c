"""`python -m benchmarks.chaos`: kill workers while they work, and count what was lost."""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from simulator import Behaviour, SimulatedProvider
from tests.owned_process import OwnedProcess
from tests.processes.stack import (
    DOORBELLS,
    MANAGE,
    SHORT_LEASE_S,
    DatabaseKind,
    Doorbell,
    Stack,
    servers,
    stack_on,
)
from tests.servers import ServerNotStarted, redis_binary, run_quietly, valkey_binary

HELP = """\
Run a batch against a simulated provider on this machine while a random worker gets a SIGKILL
every so often and is started again; then compare what the provider saw with what is stored.
PostgreSQL, Redis, the workers and the provider are started here and thrown away in the end.
With Celery, every fifth kill hits the broker as well, which forgets its messages.

  lost            prompts without a result            must be 0
  recorded twice  results or counts beyond one each   must be 0
  repeated calls  calls beyond one for each prompt; a kill repeats what was in flight or unstored,
                  at most 3 x window for each kill
  unequal         with --repeats: answers that differ from one to an equal prompt, must be 0
  not written     with --rows: rows without their answer or its record, must be 0
  touched         with --rows: rows with a change in another column, must be 0
  called again    with --rows: calls of a second run for what changed, when nothing has; must be 0
  called for 17   with --rows: calls of a third one, after 17 rows have changed; must be 17
"""
EPILOG = """\
examples:
  python -m benchmarks.chaos
  python -m benchmarks.chaos --prompts 500 --workers 2          a minute's look
  python -m benchmarks.chaos --database sqlite                  as on one machine
  python -m benchmarks.chaos --doorbell none                    manage.py work alone
  python -m benchmarks.chaos --kill-every 0.5 --json            harder, for a script
  python -m benchmarks.chaos --repeats 0.5                      half of the prompts repeat others
  python -m benchmarks.chaos --rows --prompts 20000             answers are written into rows

Exit status: 0, or 1 if anything was lost, recorded twice or repeated too often.
"""
CHANGED = 17
SECONDS_PER_PROMPT = 0.2
LONGEST_START_S = 120.0


@dataclass(frozen=True)
class Options:
    """What to run, and how hard."""

    prompts: int = 5000
    workers: int = 4
    kill_every: float = 1.0
    window: int = 16
    latency: str = "uniform:0.05,0.5"
    database: DatabaseKind = "postgres"
    doorbell: Doorbell = "celery"
    seed: int = 1
    repeats: float = 0.0
    rows: bool = False


@dataclass(frozen=True)
class Report:
    """What became of it."""

    prompts: int
    kills: int
    kills_in_flight: int
    lost: int
    recorded_twice: int
    repeated_calls: int
    unequal: int
    not_written: int
    touched: int
    called_again: int
    called_for_17: int
    seconds: float

    def holds(self, window: int) -> bool:
        return (
            not (self.lost or self.recorded_twice or self.unequal)
            and not (self.not_written or self.touched or self.called_again)
            and self.called_for_17 in {0, CHANGED}
            and self.repeated_calls <= 3 * window * self.kills
        )


@dataclass
class Killer:
    """Kills a random worker, and starts another in its place."""

    stack: Stack
    workers: list[OwnedProcess]
    chance: random.Random
    kills: int = 0
    in_flight: int = 0

    def strike(self) -> None:
        victim = self.chance.choice(self.workers)
        self.kills += 1
        self.in_flight += self._cuts_off_calls(victim)
        if self.stack.doorbell == "celery" and self.kills % 5 == 0:
            self.stack.broker.kill()
            self.stack.broker.start()
        self.workers.remove(victim)
        self.workers.append(start_worker(self.stack, f"w{self.kills}"))

    def _cuts_off_calls(self, victim: OwnedProcess) -> bool:
        """Kill a worker; return True if the provider sees calls end within a second."""
        before = self.stack.simulator.by_status["abandoned"]
        victim.kill()
        deadline = time.monotonic() + 1.0
        while self.stack.simulator.by_status["abandoned"] == before:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True


def start_worker(stack: Stack, name: str) -> OwnedProcess:
    # One run in each: otherwise one worker may have them all, and most kills hit idle ones.
    return stack.start_worker(name, concurrency=1)


def run(options: Options) -> Report:
    """One batch under fire; exits if it does not end."""
    with installation(options) as stack:
        workers = [start_worker(stack, f"first{number}") for number in range(options.workers)]
        if options.doorbell != "none":
            stack.start_sweeper()
        before: list[object] = []
        if options.rows:
            stack.driver("library", name="make", number=options.prompts)
            before = stack.driver("library", name="others")
        batch = started(stack, options)
        began = time.monotonic()
        killer = Killer(stack, workers, random.Random(options.seed))
        stack.wait_for_calls(1)
        patience = LONGEST_START_S + options.prompts * SECONDS_PER_PROMPT
        next_kill = time.monotonic() + options.kill_every
        while stack.status(batch)["status"] != "completed":
            if time.monotonic() > began + patience:
                sys.exit(f"not completed after {patience:g} s: {stack.status(batch)}")
            if time.monotonic() >= next_kill:
                killer.strike()
                next_kill += options.kill_every
            time.sleep(0.05)
        seconds = time.monotonic() - began
        account = stack.driver("account", batch=batch)
        repeated_calls = stack.repeated_calls
        rows = (not_written(stack, batch), touched(stack, before)) if options.rows else (0, 0)
        called = called_for_changes(stack) if options.rows else (0, 0)
        return Report(
            prompts=options.prompts,
            kills=killer.kills,
            kills_in_flight=killer.in_flight,
            lost=account["lost"],
            recorded_twice=account["recorded_twice"],
            repeated_calls=repeated_calls,
            unequal=stack.driver("unequal", batch=batch) if options.repeats else 0,
            not_written=rows[0],
            touched=rows[1],
            called_again=called[0],
            called_for_17=called[1],
            seconds=round(seconds, 2),
        )


def started(stack: Stack, options: Options) -> int:
    """Create the batch, of prompts or of the rows that are stored."""
    chosen = {"batch_size": options.window, "parallelism": options.workers}
    if options.rows:
        base_url = stack.simulator.base_url
        return int(stack.driver("library", name="start", base_url=base_url, **chosen))
    reuse = "batch" if options.repeats else "off"
    return stack.create_batch(texts_of(options), reuse=reuse, **chosen)


def not_written(stack: Stack, batch: int) -> int:
    halves: list[str] = stack.driver("library", name="halves", batch=batch)
    return len(halves) + int(stack.driver("library", name="unanswered"))


def touched(stack: Stack, before: list[object]) -> int:
    after = stack.driver("library", name="others")
    return sum(one != other for one, other in zip(before, after, strict=True))


def called_for_changes(stack: Stack) -> tuple[int, int]:
    """Ask about the rows that have changed, twice; return the calls before and after a change."""
    calls = []
    for number in (0, CHANGED):
        stack.driver("library", name="change", number=number)
        before = stack.simulator.calls.total()
        base_url = stack.simulator.base_url
        batch = stack.driver("library", name="start", base_url=base_url, only_changed=True)
        if batch is not None:
            stack.wait_completed(batch)
        calls.append(stack.simulator.calls.total() - before)
    return calls[0], calls[1]


def texts_of(options: Options) -> list[str]:
    """The prompts; equal ones are as far apart as they can be."""
    distinct = max(1, round(options.prompts * (1 - options.repeats)))
    return [f"prompt {number % distinct}" for number in range(options.prompts)]


@contextmanager
def installation(options: Options) -> Iterator[Stack]:
    broker = redis_binary() if options.database == "postgres" else valkey_binary()
    # The tables of the rows are a project's own.
    project = {"DJANGO_SETTINGS_MODULE": "tests.library.settings"} if options.rows else {}
    with (
        tempfile.TemporaryDirectory(prefix="threephase-chaos-") as name,
        servers(options.database, Path(name), broker) as shared,
        SimulatedProvider(Behaviour(latency=options.latency)) as simulator,
        stack_on(
            shared,
            simulator,
            Path(name),
            DOORBELL=options.doorbell,
            LOG_LEVEL="ERROR",
            LEASE_SECONDS=str(SHORT_LEASE_S),
            **project,
        ) as stack,
    ):
        if options.rows:
            run_quietly(*MANAGE, "migrate", "library", "-v0", env=stack.env)
        yield stack


def as_table(report: Report, window: int) -> str:
    notes = {
        "kills_in_flight": "cut off calls",
        "lost": "must be 0",
        "recorded_twice": "must be 0",
        "unequal": "must be 0",
        "not_written": "must be 0",
        "touched": "must be 0",
        "called_again": "must be 0",
        "called_for_17": f"must be {CHANGED}, with --rows",
        "repeated_calls": f"at most {3 * window * report.kills}",
    }
    return "\n".join(
        f"{name.replace('_', ' '):<16}{value:>10}  {notes.get(name, '')}".rstrip()
        for name, value in asdict(report).items()
    )


def options_from(arguments: list[str] | None = None) -> tuple[Options, bool]:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.chaos",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    usual = Options()
    for name, kind, text in (
        ("prompts", positive, "how many prompts"),
        ("workers", positive, "worker processes, which is also the batch's parallelism"),
        ("kill-every", interval, "seconds between two kills"),
        ("window", positive, "calls in flight in each worker"),
        ("latency", str, "of a call, as in `python -m simulator --help`"),
        ("seed", int, "which workers are hit"),
        ("repeats", share, "share of prompts that repeat others; their answers are used again"),
    ):
        default = getattr(usual, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=default, help=f"{text} ({default})")
    parser.add_argument(
        "--database",
        choices=["postgres", "sqlite"],
        default=usual.database,
        help="postgres with Redis, or sqlite with Valkey as in the embedded mode (postgres)",
    )
    parser.add_argument(
        "--doorbell",
        choices=DOORBELLS,
        default=usual.doorbell,
        help="how workers learn of work, see docs/workers.md (celery)",
    )
    parser.add_argument(
        "--rows", action="store_true", help="ask about rows of a table, and write into them"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    given = vars(parser.parse_args(arguments))
    as_json = given.pop("json")
    return Options(**given), as_json


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("the least is 1")
    return number


def share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError("from 0 to below 1")
    return value


def interval(text: str) -> float:
    seconds = float(text)
    if not seconds >= 0.1:
        raise argparse.ArgumentTypeError("the least is 0.1")
    return seconds


def main() -> int:
    options, as_json = options_from()
    if not as_json:
        print(
            f"{options.prompts} prompts, {options.workers} workers, "
            f"one killed every {options.kill_every:g} s, on {options.database}, "
            f"by the doorbell {options.doorbell} ...",
            flush=True,
        )
    try:
        report = run(options)
    except ServerNotStarted as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(asdict(report)) if as_json else as_table(report, options.window))
    return 0 if report.holds(options.window) else 1


if __name__ == "__main__":
    sys.exit(main())
