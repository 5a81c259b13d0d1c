"""The state of a running simulated provider."""

import time
from itertools import count

from batches.simulator.behaviour import Behaviour
from batches.simulator.ledger import Ledger
from batches.simulator.limit import Bucket


class Simulator:
    """Knobs that may be swapped at any time, the ledger, and the bucket of the rate limit."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.ledger = Ledger()
        self._bucket: Bucket | None = None
        self._request_numbers = count(1)

    def reset(self) -> None:
        """Opens a new ledger and fills the bucket; calls still in flight count in the old one."""
        self.ledger = Ledger()
        self._bucket = None

    def request_id(self) -> str:
        """An id for one request, never used twice."""
        return f"req_{next(self._request_numbers):032x}"

    def bucket(self) -> Bucket | None:
        """The bucket of the present limit, or None without a limit."""
        rate, size = self.behaviour.requests_per_second, self.behaviour.bucket_size
        if not rate:
            return None
        bucket = self._bucket
        if bucket is None or (bucket.rate, bucket.size) != (rate, size):
            bucket = self._bucket = Bucket(rate, size, tokens=size, seen_at=time.monotonic())
        return bucket

    def limit_headers(self) -> dict[str, str]:
        """What is told about the limit."""
        bucket = self.bucket()
        return bucket.headers() if bucket and self.behaviour.announce_limits else {}
