"""The state of a running simulated provider."""

import time
from itertools import count

from batches.simulator.behaviour import Behaviour
from batches.simulator.ledger import Ledger
from batches.simulator.limit import Bucket


class Simulator:
    """Knobs that may be swapped at any time, the ledger, and the buckets of the rate limits."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.ledger = Ledger()
        self._buckets: dict[str, Bucket] = {}
        self._request_numbers = count(1)

    def reset(self) -> None:
        """Opens a new ledger and fills the bucket; calls still in flight count in the old one."""
        self.ledger = Ledger()
        self._buckets = {}

    def request_id(self) -> str:
        """An id for one request, never used twice."""
        return f"req_{next(self._request_numbers):032x}"

    def buckets(self) -> list[Bucket]:
        """The buckets of the present limits."""
        knobs = self.behaviour
        sizes = {
            "requests": (knobs.requests_per_second, knobs.bucket_size),
            "tokens": (knobs.tokens_per_second, knobs.token_bucket_size),
        }
        return [self._bucket(unit, *size) for unit, size in sizes.items() if size[0]]

    def limit_headers(self) -> dict[str, str]:
        """What is told about the limits."""
        told: dict[str, str] = {}
        if self.behaviour.announce_limits:
            for bucket in self.buckets():
                told |= bucket.headers()
        return told

    def _bucket(self, unit: str, rate: float, size: int) -> Bucket:
        bucket = self._buckets.get(unit)
        if bucket is None or (bucket.rate, bucket.size) != (rate, size):
            bucket = Bucket(unit, rate, size, tokens=size, seen_at=time.monotonic())
            self._buckets[unit] = bucket
        return bucket
