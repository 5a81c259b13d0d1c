"""Share outages with the other runners of a provider, through the database."""

import time
from collections.abc import Mapping

from batches.engine.liveness import Away
from batches.engine.outages import SharedOutages
from batches.providers import outages
from batches.providers.outages import OutageNow
from batches.runner.database import PatientDatabase

# After this time a pending probe no longer stops other runners from probing.
LONGEST_CLAIM_S = 75.0


class ProviderBoard:
    """The shared outages of one provider's runners; used inside the event loop of a slice."""

    def __init__(self, provider_id: int, database: PatientDatabase, *, timeout_s: float) -> None:
        self._provider_id = provider_id
        self._database = database
        self._claim_s = min(timeout_s + 5.0, LONGEST_CLAIM_S)

    async def claim_probe(self, model: str, /) -> bool:
        """Return True if this runner may send the next probe now."""
        return await self._database.call(
            outages.claim_probe, self._provider_id, model, seconds=self._claim_s
        )

    async def tell(self, model: str, away: Away | None, /) -> None:
        """Record an outage, a failed probe, or (None) that the model answers again."""
        if away is None:
            await self._database.call(outages.end, self._provider_id, model)
            return
        now = time.monotonic()
        outage = OutageNow(
            away.reason,
            lasted_s=now - away.since,
            next_probe_s=max(away.next_probe - now, 0.0),
            probes=away.probes,
        )
        await self._database.call(outages.record, self._provider_id, model, outage)


def shared_outages(found: Mapping[str, OutageNow], *, read_at: float) -> SharedOutages:
    """Return the stored outages with monotonic times of this process."""
    return SharedOutages(
        {
            model: Away(
                outage.reason,
                since=read_at - outage.lasted_s,
                next_probe=read_at + outage.next_probe_s,
                probes=outage.probes,
            )
            for model, outage in found.items()
        },
        read_at=read_at,
    )
