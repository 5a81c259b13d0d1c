"""Outputs replace files, and nothing else."""

import os
import stat
from pathlib import Path

import pytest

from batches.management.bulk.output import check_writable, is_special, opened_output


def write(path: Path, text: str) -> None:
    check_writable(str(path))
    with opened_output(str(path)) as output:
        output.write(text)


@pytest.mark.parametrize("before", ["what was here before", None])
def test_behind_a_link_the_file_is_written_and_the_link_stays(
    tmp_path: Path, before: str | None
) -> None:
    (tmp_path / "far").mkdir()
    target, link = tmp_path / "far" / "real.jsonl", tmp_path / "link.jsonl"
    if before is not None:
        target.write_text(before)
    link.symlink_to(Path("far") / "real.jsonl")
    write(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert [path.name for path in target.parent.iterdir()] == ["real.jsonl"]


def test_a_pipe_is_written_into_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Opened for both, so that neither end waits for the other.
    reader = os.open(pipe, os.O_RDWR)
    try:
        write(pipe, "new")
        assert os.read(reader, 10) == b"new"
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_device_is_special() -> None:
    assert is_special(os.devnull)
    assert not is_special("no such file")


def test_a_link_that_leads_nowhere_is_an_error_before_anything_is_written(tmp_path: Path) -> None:
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    with pytest.raises(OSError, match="circle"):
        check_writable(str(circle))
    lost = tmp_path / "lost"
    lost.symlink_to(tmp_path / "no such folder" / "out.jsonl")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_writable(str(lost))
