"""A provider goes away, before the first call or in the middle, and comes back: no prompt pays."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import pytest

from simulator import Behaviour, SimulatedProvider
from tests.outages.door import KINDS, Kind
from tests.outages.names import NO_NAMESPACE, can_have_own_names
from tests.outages.site import Entrance, Run, Site, Work, site_on
from tests.processes.api_stack import MODEL
from tests.processes.stack import Servers, servers
from tests.servers import valkey_binary
from tests.waiting import wait_until

PROMPTS = 60
WINDOW = 8
# So that calls are on their way that were sent before others that have been answered.
LATENCY = "uniform:0.05,0.4"
# The shorter one for a provider that hangs, which is noticed by nothing else.
TIMEOUT_S = 20.0
HANGING_S = 4.0
# The outage ends when the batch has announced this many probes.
PROBES = 3
Where = Literal["start", "middle"]
WHERES: tuple[Where, ...] = get_args(Where)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    # A broker of its own, since the workers of other tests would take its messages.
    with servers("sqlite", tmp_path_factory.mktemp("outages"), valkey_binary()) as shared:
        yield shared


@dataclass(frozen=True)
class Trial:
    """One outage on its way, with the run that it is to cost nothing."""

    site: Site
    run: Run
    window: int

    def outlast(self) -> float:
        """Keep the provider away until it was probed often enough; return when the run first
        said that it waits (monotonic)."""
        announced: set[int] = set()
        said_at: list[float] = []

        def is_over() -> bool:
            for waiting in self.run.waiting():
                if waiting["next"] is not None:
                    assert waiting["reason"].startswith(f"waiting for {MODEL}: ")
                    assert waiting["since"] <= waiting["next"]
                    said_at.append(time.monotonic())
                    announced.add(waiting["next"])
            return len(announced) >= PROBES

        wait_until(is_over, f"{PROBES} probes")
        self.site.open()
        return said_at[0]

    def check(self, waiting_since: float) -> None:
        """Assert one success for each prompt, and no call that probes do not explain."""
        account, door = self.run.account(), self.site.door
        assert (account.total, account.kinds) == (PROMPTS, {"": PROMPTS}), account
        assert (account.lost, account.recorded_twice) == (0, 0)
        # Cut off or sent to find out, once for each probe, and answered.
        assert account.most_calls <= 1 + PROBES + 1 + 1
        assert account.calls <= PROMPTS + 2 * self.window + PROBES + 1
        if door.counts_all:
            probes = [visit for visit in door.visits if visit.began > waiting_since]
            assert len(probes) <= PROBES + 1
            assert door.most_at_once(waiting_since) <= 1


def go_through(site: Site, entrance: Entrance, where: Where, *, workers: int = 1) -> None:
    """Run a batch through an outage. One attempt each: a prompt that is charged for it fails."""
    timeout_s = HANGING_S if site.door.kind == "hang" else TIMEOUT_S
    work = Work(WINDOW, workers, timeout_s=timeout_s, max_attempts=1)
    texts = [f"prompt {number}" for number in range(PROMPTS)]
    if where == "start":
        site.shut()
        run = site.begin(entrance, texts, work)
    else:
        with site.stack.simulator.holding(after=PROMPTS // 4):
            run = site.begin(entrance, texts, work)
            wait_until(lambda: run.stored() >= PROMPTS // 4, "the first results")
            site.shut()
    trial = Trial(site, run, WINDOW * workers)
    waiting_since = trial.outlast()
    wait_until(run.has_ended, "the end of the batch")
    trial.check(waiting_since)


@contextmanager
def scene(shared: Servers, folder: Path, kind: Kind, *, workers: int = 1) -> Iterator[Site]:
    if kind == "dns" and not can_have_own_names():
        pytest.skip(NO_NAMESPACE)
    with (
        SimulatedProvider(Behaviour(latency=LATENCY)) as simulator,
        site_on(shared, simulator, folder, kind, workers=workers) as site,
    ):
        yield site
        site.stack.show_output()


@pytest.mark.parametrize("where", WHERES)
@pytest.mark.parametrize("kind", KINDS)
def test_no_prompt_pays_for_an_outage(
    kind: Kind, where: Where, shared: Servers, tmp_path: Path
) -> None:
    with scene(shared, tmp_path, kind) as site:
        go_through(site, "api", where)


# Several workers probe no more than one does, and several commands are like workers.
OTHER_WAYS: tuple[tuple[Entrance, Kind, Where, int], ...] = (
    ("api", "503", "middle", 4),
    ("api", "hang", "start", 4),
    ("admin", "refused", "middle", 1),
    ("command", "503", "start", 1),
    ("command", "refused", "middle", 2),
)


@pytest.mark.parametrize("way", OTHER_WAYS, ids=lambda way: "-".join(map(str, way)))
def test_nor_does_it_by_another_entrance_or_with_more_workers(
    way: tuple[Entrance, Kind, Where, int], shared: Servers, tmp_path: Path
) -> None:
    entrance, kind, where, workers = way
    with scene(shared, tmp_path, kind, workers=0 if entrance == "command" else workers) as site:
        go_through(site, entrance, where, workers=workers)
