"""`manage.py batches` as a process: its reader may leave."""

from tests.processes.conftest import CommandLine


def test_a_list_that_nobody_reads_is_no_fault(cli: CommandLine) -> None:
    process = cli.start("batches", "list")
    assert process.stdout
    assert process.stderr
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() == 141
