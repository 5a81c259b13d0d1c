"""`python -m benchmarks outages`: a provider goes away and comes back; no prompt may pay for it.

Each row runs the same prompts twice on one installation: first with a provider that stays, then
with one that goes away for --seconds, before the first call or in the middle.
"""

import argparse
import io
import itertools
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Literal, get_args

from simulator import Behaviour, SimulatedProvider
from tests.outages.door import KINDS, Kind
from tests.outages.names import NO_NAMESPACE, can_have_own_names
from tests.outages.site import ENTRANCES, Account, Entrance, Run, Site, Work, site_on
from tests.processes.stack import DatabaseKind, servers
from tests.servers import ServerNotStarted, redis_binary, valkey_binary

Where = Literal["start", "middle"]
WHERES: tuple[Where, ...] = get_args(Where)

EPILOG = """\
columns:
  failed     prompts that failed or have no result           must be 0
  calls      calls made to a provider that was away, or "?" where they cannot be counted: after
             the first seconds no more than the back-off of one probe explains
  at once    the most of them at once, after the first seconds   must be 1 at most
  extra      calls stored with the results beyond one for each prompt
  end        when the last prompt was stored, in seconds from the request, at most
             1.1 x that without an outage, plus the outage, plus 30

The first seconds are those in which the calls in flight find out: until 1 s after the batch first
says what it waits for, and the time-out of a call where the provider hangs. Exit status: 0, or 1 if
a row misses a bar.
"""

SETTINGS = {"LEASE_SECONDS": "60", "LOG_LEVEL": "ERROR"}
SWEEP_S = 30.0
LATENCY = "uniform:0.5,1.5"
WINDOW = 100
TIMEOUT_S = 5.0
# The share of the prompts that is stored when the provider goes away in the middle.
MIDDLE = 0.3
POLL_S = 0.05
IDEAL_PATIENCE_S = 300.0
# A run that is this late is given up.
LATE_S = 90.0
GRACE_S = 30.0
# Other runners learn of an outage a moment after the one that has recorded it.
FIRST_S = 1.0
# The waits of a probe: 1, 2, 4, 8, then 15 s each; the least that a wait may be shortened to.
LONGEST_WAIT_S, LEAST_SHARE = 15.0, 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """What all rows have in common."""

    seconds: float = 20.0
    prompts: int = 2000
    database: DatabaseKind = "sqlite"
    parallel: int = 2
    max_attempts: int = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One outage."""

    kind: Kind
    where: Where
    entrance: Entrance
    workers: int

    @property
    def name(self) -> str:
        return f"{self.kind:<8}{self.where:<7} {self.entrance:<8}{self.workers}"


@dataclass(frozen=True, slots=True)
class Times:
    """When what happened (monotonic), and how long the same took without an outage."""

    ideal_s: float
    began: float
    away: float
    back: float
    ended: float

    @property
    def outage_s(self) -> float:
        return self.back - self.away

    @property
    def end_s(self) -> float:
        return self.ended - self.began

    @property
    def latest_s(self) -> float:
        return 1.1 * self.ideal_s + self.outage_s + GRACE_S


@dataclass(frozen=True, slots=True)
class Meanwhile:
    """The calls to a provider that was away: all, those after the first seconds, and how many of
    these were there at once."""

    calls: int
    later: int
    at_once: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen of one outage; `meanwhile` is None where nothing counts the calls."""

    case: Case
    prompts: int
    account: Account
    times: Times
    meanwhile: Meanwhile | None
    waiting: str

    @property
    def unanswered(self) -> int:
        return self.prompts - self.account.succeeded

    @property
    def most_probes(self) -> int:
        return probes(self.times.outage_s)

    @property
    def misses(self) -> list[str]:
        """The bars that are missed."""
        seen = self.meanwhile or Meanwhile(0, 0, 0)
        kept = {
            "failed": not (self.unanswered or self.account.lost or self.account.recorded_twice),
            "calls": seen.later <= self.most_probes,
            "at once": seen.at_once <= 1,
            "end": self.times.end_s <= self.times.latest_s,
        }
        return [name for name, holds in kept.items() if not holds]


def probes(seconds: float) -> int:
    """Return the most probes that back-off explains in an outage."""
    waits = itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(LONGEST_WAIT_S))
    moments = itertools.accumulate(LEAST_SHARE * wait for wait in waits)
    return 1 + sum(1 for _ in itertools.takewhile(lambda moment: moment < seconds, moments))


def measured(case: Case, options: Options) -> Finding:
    """Run one row on an installation of its own."""
    work = Work(WINDOW, case.workers, TIMEOUT_S, options.max_attempts)
    with installation(case, options) as site:
        warm_up(site, case)
        ideal_s = seconds_of(site.begin(case.entrance, texts("ideal", options.prompts), work))
        if case.where == "start":
            site.shut()
        began = time.monotonic()
        run = site.begin(case.entrance, texts("outage", options.prompts), work)
        if case.where == "middle":
            wait_for(lambda: run.stored() >= MIDDLE * options.prompts, IDEAL_PATIENCE_S)
            site.shut()
        away = time.monotonic()
        waiting, since = spend(run, options.seconds)
        back = time.monotonic()
        site.open()
        ended = wait_for(run.has_ended, 1.1 * ideal_s + GRACE_S + LATE_S)
        times = Times(ideal_s, began, away, back, time.monotonic() if ended else math.inf)
        seen = meanwhile(site, case, since)
        return Finding(case, options.prompts, run.account(), times, seen, waiting)


def meanwhile(site: Site, case: Case, since: float) -> Meanwhile | None:
    """Return the calls to the provider; `since`: from when on the batch has said that it waits."""
    if not site.door.counts_all:
        return None
    visits = site.door.visits
    later = since + FIRST_S + (TIMEOUT_S if case.kind == "hang" else 0.0)
    return Meanwhile(
        calls=len(visits),
        later=sum(visit.began > later for visit in visits),
        at_once=site.door.most_at_once(later),
    )


@contextmanager
def installation(case: Case, options: Options) -> Iterator[Site]:
    binary = redis_binary() if options.database == "postgres" else valkey_binary()
    with tempfile.TemporaryDirectory(prefix="threephase-outage-") as name:
        folder = Path(name)
        (folder / "run").mkdir()
        with (
            # What the workers say at their end is for tests that fail.
            redirect_stdout(io.StringIO()),
            servers(options.database, folder, binary) as shared,
            SimulatedProvider(Behaviour(latency=LATENCY)) as simulator,
            site_on(
                shared,
                simulator,
                folder / "run",
                case.kind,
                workers=0 if case.entrance == "command" else case.workers,
                sweep_s=SWEEP_S,
                **SETTINGS,
            ) as site,
        ):
            yield site


def warm_up(site: Site, case: Case) -> None:
    """Wait until every worker takes messages."""
    if case.entrance != "command":
        for _ in range(2 * case.workers):
            seconds_of(site.begin("api", texts("warm", 2), Work()))


def texts(name: str, count: int) -> list[str]:
    return [f"{name} {number}" for number in range(count)]


def seconds_of(run: Run) -> float:
    """How long a run takes to its end."""
    began = time.monotonic()
    if not wait_for(run.has_ended, IDEAL_PATIENCE_S):
        raise RuntimeError(f"no end without an outage: {run.account()}")
    if (found := run.account()).succeeded != run.prompts:
        raise RuntimeError(f"failed without an outage: {found}")
    return time.monotonic() - began


def spend(run: Run, seconds: float) -> tuple[str, float]:
    """Let an outage last; return what the run said that it waits for, and since when.

    A run that has never said it is taken to have known at once.
    """
    began = time.monotonic()
    said, since = "", began
    while (now := time.monotonic()) < began + seconds:
        reasons = "; ".join(str(each["reason"]) for each in run.waiting())
        if reasons and not said:
            since = now
        said = reasons or said
        time.sleep(min(0.2, max(0.0, began + seconds - time.monotonic())))
    return said, since


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; return False if it does not come about in time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(POLL_S)
    return True


def findings(cases: Sequence[Case], options: Options) -> Iterator[Finding]:
    """Run the rows, some of them side by side, each in a process of its own; in their order."""
    with ProcessPoolExecutor(
        options.parallel, mp_context=get_context("spawn"), max_tasks_per_child=1
    ) as pool:
        yield from pool.map(partial(measured, options=options), cases)


HEADER = (
    f"{'kind':<8}{'where':<7} {'entrance':<8}w {'failed':>6} {'calls':>11} {'at once':>7} "
    f"{'extra':>5} {'most':>4} {'ideal':>6} {'end':>7} {'at most':>7}"
)


def as_line(found: Finding) -> str:
    seen, times, account = found.meanwhile, found.times, found.account
    calls = f"{seen.calls} ({seen.later})" if seen else "?"
    extra = account.calls - account.succeeded - account.failed
    misses = f"  MISSED: {', '.join(found.misses)}: {account.said}" if found.misses else ""
    return (
        f"{found.case.name}  {found.unanswered:>6} {calls:>11} {seen.at_once if seen else '?':>7} "
        f"{extra:>5} {account.most_calls:>4} {times.ideal_s:>6.1f} {times.end_s:>7.1f} "
        f"{times.latest_s:>7.1f}{misses}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    given = read_arguments(arguments)
    cases = cases_of(given)
    options = Options(
        given.seconds, given.prompts, given.database, given.parallel, given.max_attempts
    )
    print(HEADER, flush=True)
    missed = 0
    try:
        for found in findings(cases, options):
            print(as_line(found), flush=True)
            if given.said and found.waiting:
                print(f"    {found.waiting}", flush=True)
            missed += bool(found.misses)
    except ServerNotStarted as error:
        print(error, file=sys.stderr)
        return 2
    return 1 if missed else 0


def cases_of(given: argparse.Namespace) -> list[Case]:
    cases = itertools.product(given.kinds, given.where, given.entrances, given.workers)
    return [Case(*each) for each in cases]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    usual = Options()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks outages",
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    for name, choices in (("kinds", KINDS), ("where", WHERES), ("entrances", ENTRANCES)):
        some = parser.add_argument(f"--{name}", type=some_of(choices), default=list(choices))
        some.help = f"some of {','.join(choices)} (all)"
    parser.add_argument("--workers", type=some_of(("1", "4")), default=["1", "4"], help="(1,4)")
    add = parser.add_argument
    add("--seconds", type=float, default=usual.seconds, help="how long (%(default)s)")
    add("--prompts", type=int, default=usual.prompts, help="(%(default)s)")
    add("--max-attempts", type=int, default=usual.max_attempts, help="(%(default)s)")
    add("--parallel", type=int, default=usual.parallel, help="rows at once (%(default)s)")
    add("--database", choices=get_args(DatabaseKind), default=usual.database, help="(%(default)s)")
    add("--said", action="store_true", help="also print what each run said that it waits for")
    given = parser.parse_args(arguments)
    given.workers = [int(number) for number in given.workers]
    if "dns" in given.kinds and not can_have_own_names():
        parser.error(f"leave out the kind dns: {NO_NAMESPACE}")
    return given


def some_of(choices: Sequence[str]) -> Callable[[str], list[str]]:
    """Return the reader of a list such as "refused,503"."""

    def read(text: str) -> list[str]:
        found = text.split(",")
        if unknown := set(found) - set(choices):
            raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
        return found

    return read


if __name__ == "__main__":
    sys.exit(main())
