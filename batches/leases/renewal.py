"""Renew the lease of a batch in a thread, while another thread waits for its input."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.db import Error, connection

from batches.leases.batches import BatchLease, hold_batch

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4
# The longest wait for a renewal that hangs when its block has ended.
PATIENCE_S = 2.0


@contextmanager
def renewed(lease: BatchLease) -> Iterator[None]:
    """Renew a lease while the block runs: its input may bring nothing for hours, as a pipe does."""
    over = threading.Event()
    thread = threading.Thread(target=_renew, args=(lease, over), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)


def _renew(lease: BatchLease, over: threading.Event) -> None:
    while not over.wait(settings.LEASE_SECONDS / RENEWALS_PER_LEASE):
        try:
            if not hold_batch(lease):
                return
        except Error as error:
            # What is stored next renews the lease too, or finds that it is lost.
            logger.warning("Could not renew the lease of an input: %s", error)
        finally:
            # Keep no connection open for one write in a quarter of a lease.
            connection.close()
