"""Notice that a store was started anew, by the uptime it tells in whole seconds."""

from __future__ import annotations

import time
from collections.abc import Callable

from fleetbox.blobs import Store

DRIFT = 1e-3  # of the time between two looks: more than clocks of two machines run apart


class Restarts:
    """Keep by when, at the latest, the run of a store that is known began: every look narrows it down.

    A run that began 2 s after the one before is noticed at one of the next looks; no slow answer passes for one.
    """

    def __init__(self, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._monotonic_s = monotonic_s
        self._by_s: float | None = None
        self._looked_s = 0.0

    @property
    def looked(self) -> bool:
        """Tell whether there was a look before."""
        return self._by_s is not None

    async def look(self, store: Store) -> bool:
        """Ask a store; tell whether it was started anew since the last look. Raises what Store.info raises."""
        asked_s = self._monotonic_s()
        uptime_s = (await store.info()).uptime_s
        return self.note(asked_s, self._monotonic_s(), uptime_s)

    def note(self, asked_s: float, answered_s: float, uptime_s: int) -> bool:
        """Take up an answer that came between two times, which only run forward; tell whether another run gave it."""
        from_s, by_s = asked_s - uptime_s - 1, answered_s - uptime_s  # the second that has begun is not told
        known_s = by_s if self._by_s is None else self._by_s + DRIFT * (answered_s - self._looked_s)
        anew = from_s > known_s
        self._by_s, self._looked_s = by_s if anew else min(by_s, known_s), answered_s
        return anew
