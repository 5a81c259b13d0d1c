"""Renew the lease of a batch in a thread, while another thread waits for its input."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error

from batches.conf import conf
from batches.database import connection
from batches.leases.batches import BatchLease, hold_batch
from batches.models.full_disk import is_full

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 4
# After an error of the database, try again this soon.
RETRY_S = 1.0
# The longest wait for a renewal that hangs when its block has ended.
PATIENCE_S = 2.0


@contextmanager
def renewed(
    lease: BatchLease,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    on_loss: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Renew a lease while the block runs and is alive; by default, it may be silent for hours.

    Call `on_loss` in another thread when the lease is lost, or given up because the block hangs.
    """
    over = threading.Event()
    thread = threading.Thread(
        target=_renew, args=(lease, is_alive, on_loss, over), name="lease", daemon=True
    )
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(PATIENCE_S)


def _renew(
    lease: BatchLease,
    is_alive: Callable[[], bool],
    on_loss: Callable[[], object],
    over: threading.Event,
) -> None:
    usual_s = conf().LEASE_SECONDS / RENEWALS_PER_LEASE
    wait_s = usual_s
    while not over.wait(wait_s):
        wait_s = usual_s
        try:
            if not is_alive() or not hold_batch(lease):
                on_loss()
                return
        except Error as error:
            # What is stored next renews the lease too, or finds that it is lost.
            if not is_full(error):
                # On a full disk, the thread that stores fails as well, and says so once.
                logger.warning("Could not renew the lease of a batch: %s", error)
            wait_s = min(usual_s, RETRY_S)
        finally:
            # Keep no connection open for one write in a quarter of a lease.
            connection.close()
