"""The API under the prefix that the other project has for it."""

import pytest
from django.test import Client

from tests.api.calling import error_of

API = "/tools/v1"

pytestmark = pytest.mark.django_db


def test_the_description_names_the_paths_of_this_project_and_no_others() -> None:
    schema = Client().get(f"{API}/openapi.json").json()
    assert schema["info"]["title"] == "Threephase"
    assert f"{API}/batches" in schema["paths"]
    assert all(path.startswith(f"{API}/") for path in schema["paths"])
    operations = {one["operationId"] for path in schema["paths"].values() for one in path.values()}
    assert not [name for name in operations if "tools" in name]


def test_unknown_paths_are_answered_in_the_envelope_below_the_prefix_alone() -> None:
    for path in (f"{API}/", f"{API}/nothing", f"{API}/batches/"):
        assert error_of(Client().get(path), 404)["code"] == "unknown_url"
    for path in ("/v1/batches", "/tools/v12", "/nothing"):
        answer = Client().get(path)
        assert (answer.status_code, answer.headers["Content-Type"][:9]) == (404, "text/html")
