"""Whatever is sent, nothing fails in the server and no answer is other than described.

The requests are made from the published description, the same ones each time.
`make fuzz FUZZ_EXAMPLES=1000` sends more, and others each time.
"""

import os
from collections.abc import Callable
from typing import Any

import httpx
import hypothesis
import pytest
import schemathesis
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.config import (
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
)
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from batches.api.schema import schema
from tests.processes.api_stack import MODEL, ApiStack
from tests.scripted_server import closed_port
from tests.waiting import PATIENCE_S

MORE = int(os.environ.get("FUZZ_EXAMPLES", "0"))

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]

CONFIG = SchemathesisConfig(
    projects=ProjectsConfig(
        default=ProjectConfig(
            phases=PhasesConfig(coverage=CoveragePhaseConfig(enabled=True)),
            generation=GenerationConfig(deterministic=not MORE),
        )
    )
)
SCHEMA = schemathesis.openapi.from_dict(schema("/v1/"), config=CONFIG)


SOURCES = {"input_file_id", "requests", "prompts"}


class World:
    """A user with one of each thing, so that not every id leads nowhere."""

    def __init__(self, api_stack: ApiStack) -> None:
        self.address = api_stack.server.address
        self.headers = {"Authorization": f"Bearer {api_stack.server.token()}"}
        self._wait = api_stack.stack.wait_until
        self._api = httpx.Client(
            base_url=f"{self.address}/v1", headers=self.headers, timeout=PATIENCE_S
        )
        self._ids: dict[str, str] = {}
        # Where nobody listens: what is made up must not be called.
        self._nobody = f"http://127.0.0.1:{closed_port()}/"

    def close(self) -> None:
        self._api.close()

    def make_real(self, case: Case[Any]) -> None:
        """Put an id that exists in the place of most of those that were made up."""
        if isinstance(case.body, dict):
            self._mend(case.body)
            if case.operation.label == "POST /v1/batches":
                self._make_runnable(case, case.body)
        for name, value in case.path_parameters.items():
            if name in MAKERS and hash_of(value) % 4:
                case.path_parameters[name] = self._real(name)

    def _mend(self, body: dict[str, Any]) -> None:
        if str(body.get("url", "")).startswith("http"):
            body["url"] = self._nobody
        if isinstance(body.get("input_file_id"), str):
            body["input_file_id"] = self._real("file_id")

    @staticmethod
    def _make_runnable(case: Case[Any], body: dict[str, Any]) -> None:
        """Add what the description cannot say: a source of prompts, a provider, a new key."""
        if all(body.get(name) is None for name in SOURCES):
            body["prompts"] = ["a", "b"]
            body.pop("provider", None)
            if hash_of(body) % 4:
                case.headers.pop("Idempotency-Key", None)

    def _real(self, name: str) -> str:
        path, make = MAKERS[name]
        known = self._ids.get(name)
        if known is None or self._api.get(f"{path}/{known}").status_code == 404:
            known = self._ids[name] = make(self)
        return known

    def made(self, path: str, **how: Any) -> str:
        reply = self._api.post(path, **how)
        reply.raise_for_status()
        return str(reply.json()["id"])

    def made_batch(self) -> str:
        """A batch that has ended, so that its events end too."""
        body = {"prompts": ["a", "b"], "body": {"model": MODEL}}
        batch = self.made("/batches", json=body)
        self._wait(
            lambda: self._api.get(f"/batches/{batch}").json()["status"] == "completed",
            "the end of a batch",
        )
        return batch

    def made_file(self) -> str:
        return self.made(
            "/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", b'{"custom_id":"a"}\n')}
        )

    def known_model(self) -> str:
        return MODEL

    def made_upload(self) -> str:
        body = {"bytes": 1, "filename": "a", "mime_type": "text/plain", "purpose": "batch"}
        return self.made("/uploads", json=body)

    def made_endpoint(self) -> str:
        self._make_room()
        body = {"name": "a", "url": self._nobody, "event_types": ["batch.failed"]}
        return self.made("/webhook_endpoints", json=body)

    def _make_room(self) -> None:
        for endpoint in self._api.get("/webhook_endpoints?limit=100").json()["data"][5:]:
            self._api.delete(f"/webhook_endpoints/{endpoint['id']}")


MAKERS: dict[str, tuple[str, Callable[[World], str]]] = {
    "batch_id": ("/batches", World.made_batch),
    "file_id": ("/files", World.made_file),
    "model_id": ("/models", World.known_model),
    "upload_id": ("/uploads", World.made_upload),
    "endpoint_id": ("/webhook_endpoints", World.made_endpoint),
}


def hash_of(value: object) -> int:
    """The same number for the same value, in every process."""
    return sum(repr(value).encode())


@pytest.fixture(scope="module")
def world(api_stack: ApiStack) -> Any:
    made = World(api_stack)
    yield made
    made.close()


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=MORE or 15,
    derandomize=not MORE,
    database=None,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_request_brings_an_answer_that_is_not_described(case: Case[Any], world: World) -> None:
    world.make_real(case)
    response = case.call(base_url=world.address, headers=world.headers, timeout=PATIENCE_S)
    assert response.headers["x-request-id"]
    case.validate_response(response, checks=CHECKS)
