"""Call database functions from async code, in the one thread that has the connection."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from asgiref.sync import sync_to_async
from django.db import Error, close_old_connections

from batches.database import connection, is_absent
from batches.models.full_disk import is_full

logger = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

FIRST_WAIT_S = 0.05
LONGEST_WAIT_S = 5.0


async def in_database(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function that uses the database, in the thread that has the connection."""
    return await sync_to_async(function, thread_sensitive=True)(*args, **kwargs)


def reconnect() -> None:
    """Close the connection so that the next query opens a new one, unless a transaction is open."""
    if not connection.in_atomic_block:
        connection.close()
    close_old_connections()


class PatientDatabase:
    """Retry calls while the database is away, until `give_up` is called.

    A full disk is waited for `full_disk_s` seconds; None means without end.
    """

    def __init__(self, full_disk_s: float | None = None) -> None:
        self._given_up = False
        self._full_disk_s = full_disk_s

    def give_up(self) -> None:
        """Stop retrying: the next failure is raised."""
        self._given_up = True

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return the function's result. Raise an error of an absent database only after give_up."""
        wait_s, began_at = FIRST_WAIT_S, time.monotonic()
        while True:
            try:
                return await in_database(function, *args, **kwargs)
            except Error as error:
                if self._given_up or not is_absent(error):
                    raise
                if self._is_full_too_long(error, time.monotonic() - began_at):
                    # No later call would be luckier; the replies in flight are stored now or never.
                    self.give_up()
                    raise
                self._warn(error, wait_s)
            await in_database(reconnect)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _warn(self, error: Error, wait_s: float) -> None:
        # The end of a short wait for a full disk says all.
        if self._full_disk_s is None or not is_full(error):
            logger.warning("The database failed, trying again in %.2f s: %s", wait_s, error)

    def _is_full_too_long(self, error: Error, waited_s: float) -> bool:
        patience_s = self._full_disk_s
        return patience_s is not None and waited_s >= patience_s and is_full(error)
