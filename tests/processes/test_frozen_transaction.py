"""A process that is frozen in the middle of a transaction holds nobody up for long."""

import os
import sys

import psycopg

from tests.command_line import ROOT
from tests.owned_process import OwnedProcess
from tests.servers import PostgresServer
from tests.waiting import PATIENCE_S, wait_until

# Waits inside the transaction, as a process does that is stopped there.
HOLDER = """
import os, signal, django
django.setup()
from django.db import connection, transaction
with transaction.atomic(), connection.cursor() as cursor:
    cursor.execute("LOCK TABLE held")
    print("locked", flush=True)
    os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_its_locks_are_taken_from_it_when_its_lease_is_over() -> None:
    with PostgresServer() as server:
        url = server.create_database()
        with psycopg.connect(url, autocommit=True) as other:
            other.execute("CREATE TABLE held (id int)")
            other.execute("SELECT set_config('lock_timeout', %s, false)", [f"{PATIENCE_S:g}s"])
            env = {
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "DATABASE_URL": url,
                "SECRET_KEY": "of-a-test",
                "LEASE_SECONDS": "1",
            }
            with OwnedProcess([sys.executable, "-c", HOLDER], env=env, cwd=ROOT) as holder:
                wait_until(lambda: "locked" in holder.output, "the lock")
                other.execute("INSERT INTO held VALUES (1)")
