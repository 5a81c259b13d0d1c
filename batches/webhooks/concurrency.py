"""Limit concurrent deliveries of this process, so that slow receivers do not block others."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class DeliverySlots:
    """Limits on concurrent deliveries: in all, for one owner, and one for an endpoint."""

    def __init__(self, *, at_most: int, for_owner: int) -> None:
        self.at_most = at_most
        self._for_owner = for_owner
        self._lock = threading.Lock()
        # Endpoints that are being called, with their owners.
        self._out: dict[int, int] = {}

    @property
    def busy(self) -> list[int]:
        """Return the endpoints that are being called now."""
        with self._lock:
            return list(self._out)

    @contextmanager
    def one_for(self, owner: int, endpoint: int) -> Iterator[bool]:
        """Yield True if the limits allow a delivery to this endpoint; do not wait."""
        free = self._send(owner, endpoint)
        try:
            yield free
        finally:
            if free:
                with self._lock:
                    del self._out[endpoint]

    def _send(self, owner: int, endpoint: int) -> bool:
        with self._lock:
            of_owner = Counter(self._out.values())[owner]
            refused = (
                endpoint in self._out
                or of_owner >= self._for_owner
                or len(self._out) >= self.at_most
            )
            if not refused:
                self._out[endpoint] = owner
            return not refused
