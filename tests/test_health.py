"""The pages that load balancers and container engines ask."""

import socket
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from pytest_django.fixtures import Settings


@pytest.fixture
def working_broker(settings: Settings, tmp_path: Path) -> None:
    """A broker that needs no server: messages are files."""
    settings.CELERY_BROKER_URL = "filesystem://"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(tmp_path),
        "data_folder_out": str(tmp_path),
        "control_folder": str(tmp_path),
    }


@pytest.mark.django_db
def test_all_is_well(client: Client, working_broker: None) -> None:
    for page in ("/healthz", "/readyz"):
        reply = client.get(page)
        assert reply.status_code == 200
        assert reply.json() == {"status": "ok"}
        assert "no-store" in reply["Cache-Control"]


@pytest.mark.django_db
@pytest.mark.parametrize("scheme", ["redis", "amqp"])
def test_a_broker_that_refuses_or_hangs_makes_not_ready(
    client: Client, settings: Settings, scheme: str
) -> None:
    patience = {"socket_timeout": 5, "socket_connect_timeout": 3}
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = patience if scheme == "redis" else {}
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.CELERY_BROKER_URL = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}//"
        hanging = client.get("/readyz")
    refused = client.get("/readyz")
    for reply in (hanging, refused):
        assert reply.status_code == 503
        assert reply.json() == {"status": "failing", "failing": ["broker"]}
    assert client.get("/healthz").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_makes_unhealthy(
    client: Client, settings: Settings, tmp_path: Path, working_broker: None
) -> None:
    name = connection.settings_dict["NAME"]
    connection.close()
    connection.settings_dict["NAME"] = str(tmp_path / "nowhere" / "db.sqlite3")
    try:
        for page in ("/healthz", "/readyz"):
            reply = client.get(page)
            assert reply.status_code == 503
            assert reply.json()["failing"] == ["database"]
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name


@pytest.mark.django_db
def test_a_page_of_health_only_tells(client: Client) -> None:
    assert client.post("/healthz").status_code == 405
