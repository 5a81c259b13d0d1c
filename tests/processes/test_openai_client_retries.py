"""OA-4: the unmodified official client waits as long as our refusals tell it to."""

import json
import logging
from typing import Any

import openai
import pytest
from openai import OpenAI
from rest_framework.exceptions import Throttled

from batches.api.errors import as_api_error, envelope, headers_of
from tests.receivers import receiving, url_of
from tests.scripted_server import Step, answer

EMPTY = json.dumps({"object": "list", "data": [], "has_more": False}).encode()


def throttled(wait: float | None) -> Step:
    """What a client is answered that is to come again after so many seconds."""
    error = as_api_error(Throttled(wait=wait))
    headers: dict[str, Any] = {
        name.replace("-", "_"): value for name, value in headers_of(error).items()
    }
    return answer(json.dumps(envelope(error)).encode(), status=error.status, **headers)


@pytest.mark.parametrize("wait", [0.2, 1, None])
def test_the_client_comes_again_when_it_was_told(
    wait: float | None, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        caplog.at_level(logging.INFO, logger="openai._base_client"),
        receiving(throttled(wait), answer(EMPTY)) as server,
        OpenAI(api_key="-", base_url=url_of(server, "/v1")) as client,
    ):
        assert client.files.list().data == []
    # A wait of no whole second is rounded up: to the client 0 is none, and it makes up its own.
    assert "in 1.000000 seconds" in caplog.text
    assert len(server.requests) == 2


def test_the_client_does_not_come_again_after_an_hour() -> None:
    with (
        receiving(throttled(3600)) as server,
        OpenAI(api_key="-", base_url=url_of(server, "/v1")) as client,
        pytest.raises(openai.RateLimitError) as refused,
    ):
        client.files.list()
    assert refused.value.code == "rate_limit_exceeded"
    assert refused.value.response.headers["retry-after"] == "3600"
    assert len(server.requests) == 1
