"""An installation whose provider stands behind a door, and the ways in which batches reach it."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import httpx

from simulator import SimulatedProvider
from tests.certificates import Authority
from tests.outages.door import ADDRESS, Door, Kind
from tests.outages.names import HOST, Names
from tests.owned_process import OwnedProcess
from tests.processes.api_stack import MODEL, ApiServer
from tests.processes.stack import Servers, Stack, stack_on
from tests.waiting import PATIENCE_S

Entrance = Literal["command", "api", "admin"]
ENTRANCES: tuple[Entrance, ...] = get_args(Entrance)

PROVIDER = "simulated"
STAFF, PASSWORD = "ada", "a long pass phrase"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


@dataclass(frozen=True, slots=True)
class Work:
    """What a batch is asked to do: how wide, how patient, by how many workers."""

    window: int = 100
    workers: int = 1
    timeout_s: float = 5.0
    max_attempts: int = 5

    @property
    def share(self) -> int:
        """The calls in flight of one worker."""
        return max(1, self.window // self.workers)


@dataclass(frozen=True, slots=True)
class Account:
    """What became of a run, as it is stored."""

    total: int
    succeeded: int
    failed: int
    calls: int
    most_calls: int
    lost: int
    recorded_twice: int
    kinds: Mapping[str, int]
    said: str


@dataclass
class Site:
    """The installation. `shut` and `open` let its provider be away and back."""

    stack: Stack
    door: Door
    server: ApiServer
    names: Names | None
    workers: list[OwnedProcess] = field(default_factory=list)

    def shut(self) -> None:
        if self.names:
            self.names.remove()
        self.door.shut()

    def open(self) -> None:
        if self.names:
            self.names.add()
        self.door.open()

    def begin(self, entrance: Entrance, texts: Sequence[str], work: Work) -> "Run":
        """Have these prompts run by way of an entrance."""
        known = set(self.batches())
        commands = _BEGINNINGS[entrance](self, texts, work)
        return Run(self, known, len(texts), commands)

    def told(self, public_id: str) -> dict[str, Any] | None:
        """What the API says that a batch waits for."""
        answer = httpx.get(
            f"{self.server.base_url}/batches/{public_id}",
            headers=self.headers,
            timeout=PATIENCE_S,
            trust_env=False,
        )
        waiting: dict[str, Any] | None = answer.raise_for_status().json().get("waiting")
        return waiting

    @cached_property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.server.token(STAFF)}"}

    def batches(self) -> list[int]:
        found: list[int] = self.stack.driver("batches")
        return found


@dataclass
class Run:
    """Prompts on their way through one or several batches."""

    site: Site
    known: set[int]
    prompts: int
    commands: Sequence[OwnedProcess]

    @property
    def batches(self) -> list[int]:
        return [pk for pk in self.site.batches() if pk not in self.known]

    def statuses(self) -> list[dict[str, Any]]:
        return [self.site.stack.status(pk) for pk in self.batches]

    def stored(self) -> int:
        return sum(row["succeeded"] + row["failed"] for row in self.statuses())

    def has_ended(self) -> bool:
        if self.commands:
            return all(map(has_ended, self.commands))
        rows = self.statuses()
        return bool(rows) and all(row["status"] in ENDED for row in rows)

    def waiting(self) -> list[dict[str, Any]]:
        """What the batches say that they wait for."""
        told = [self.site.told(str(row["public_id"])) for row in self.statuses()]
        return [each for each in told if each]

    def account(self) -> Account:
        driver = self.site.stack.driver
        batches, rows = self.batches, self.statuses()
        found = [driver("account", batch=pk) for pk in batches]
        kinds: dict[str, int] = {}
        for pk in batches:
            for kind, number in driver("kinds", batch=pk).items():
                kinds[kind] = kinds.get(kind, 0) + number
        return Account(
            total=sum(row["total"] for row in rows),
            succeeded=sum(row["succeeded"] for row in rows),
            failed=sum(row["failed"] for row in rows),
            calls=sum(row["calls"] for row in rows),
            most_calls=max((driver("most_calls", batch=pk) for pk in batches), default=0),
            lost=sum(each["lost"] for each in found),
            recorded_twice=sum(each["recorded_twice"] for each in found),
            kinds=kinds,
            said=self._said(rows),
        )

    def _said(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """How it ended: statuses, exit statuses, and why it stands still."""
        ends = [str(row["status"]) for row in rows]
        ends += [f"exit {command.popen.poll()}" for command in self.commands]
        ends += [str(row["standstill"]) for row in rows if row["standstill"]]
        last = (command.output.strip().splitlines()[-1:] for command in self.commands)
        return "; ".join([*ends, *(line for lines in last for line in lines)])


def has_ended(command: OwnedProcess) -> bool:
    """Return True if a command has ended; then its guard is gone too."""
    if command.running:
        return False
    command.wait()
    return True


def by_command(site: Site, texts: Sequence[str], work: Work) -> list[OwnedProcess]:
    """As many commands side by side as there are to be workers, each with its share."""
    folder = site.stack.folder
    number = len(site.batches())
    commands = []
    for worker in range(work.workers):
        prompts = folder / f"prompts-{number}-{worker}.jsonl"
        lines = (json.dumps({"prompt": text}) for text in texts[worker :: work.workers])
        prompts.write_text("\n".join(lines) + "\n")
        commands.append(
            site.stack.start_command(
                *("process_batch", str(prompts), "--output", f"{prompts}.out"),
                *("--base-url", site.door.base_url, "--model", MODEL),
                *("--batch-size", str(work.share), "--timeout", str(work.timeout_s)),
                *("--max-attempts", str(work.max_attempts)),
            )
        )
    return commands


def by_api(site: Site, texts: Sequence[str], work: Work) -> list[OwnedProcess]:
    batch = {
        "prompts": list(texts),
        "body": {"model": MODEL},
        "batch_size": work.share,
        "parallelism": work.workers,
        "timeout_s": work.timeout_s,
        "max_attempts": work.max_attempts,
    }
    url = f"{site.server.base_url}/batches"
    httpx.post(
        url, json=batch, headers=site.headers, timeout=PATIENCE_S, trust_env=False
    ).raise_for_status()
    return []


def by_admin(site: Site, texts: Sequence[str], work: Work) -> list[OwnedProcess]:
    """Log in, fill in the form, and start."""
    with httpx.Client(
        base_url=site.server.address, trust_env=False, timeout=PATIENCE_S, follow_redirects=True
    ) as client:
        login = {"username": STAFF, "password": PASSWORD, "next": "/admin/"}
        submit(client, "/admin/login/", login)
        fields = {
            "prompts": "\n".join(texts),
            "provider": str(site.stack.driver("provider_id", name=PROVIDER)),
            "model": MODEL,
            "endpoint": "/v1/chat/completions",
            "schedule": "rolling",
            "order": "input",
            "reuse": "off",
            "priority": "0",
            "max_repair_attempts": "1",
            "batch_size": str(work.share),
            "parallelism": str(work.workers),
            "timeout_s": str(work.timeout_s),
            "max_attempts": str(work.max_attempts),
            "_start": "1",
        }
        page = submit(client, "/admin/batches/batch/add/", fields)
        assert "/change/" in str(page.url), page.text
    return []


def submit(client: httpx.Client, path: str, fields: Mapping[str, str]) -> httpx.Response:
    """Open a form and send it back filled in."""
    client.get(path).raise_for_status()
    token = client.cookies["threephase_csrf"]
    response = client.post(path, data={**fields, "csrfmiddlewaretoken": token})
    return response.raise_for_status()


_BEGINNINGS: dict[Entrance, Callable[[Site, Sequence[str], Work], list[OwnedProcess]]] = {
    "command": by_command,
    "api": by_api,
    "admin": by_admin,
}


@contextmanager
def site_on(
    shared: Servers,
    simulator: SimulatedProvider,
    folder: Path,
    kind: Kind,
    *,
    workers: int = 1,
    sweep_s: float = 0.5,
    **env: str,
) -> Iterator[Site]:
    """An installation with workers, a sweeper, a web server and a provider that may go away."""
    tls = None
    if kind == "tls":
        signer = Authority()
        bundle = folder / "authority.pem"
        bundle.write_text(signer.pem)
        env["PROVIDER_CA_BUNDLE"] = str(bundle)
        tls = signer.server(folder, ADDRESS)
    names = Names(folder / "names") if kind == "dns" else None
    with (
        Door(simulator.base_url, kind, host=HOST if names else ADDRESS, tls=tls) as door,
        stack_on(shared, simulator, folder, **env) as stack,
        ApiServer(stack.env, stack.driver) as server,
    ):
        stack.within = names.within if names else ()
        stack.driver("provider", name=PROVIDER, base_url=door.base_url, model_names=[MODEL])
        stack.driver("superuser", username=STAFF, password=PASSWORD)
        stack.start_sweeper(sweep_s)
        running = [stack.start_worker(f"worker-{number}") for number in range(workers)]
        yield Site(stack, door, server, names, running)
