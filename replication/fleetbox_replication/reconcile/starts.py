"""Notice that a store was started anew, by the uptime it tells."""

from __future__ import annotations

from collections.abc import Callable

STEP_S = 2.0  # a store tells its uptime in whole seconds


class Starts:
    """Remember per store when it was started, on the monotonic clock."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._started_s: dict[str, float] = {}

    def knows(self, store: str) -> bool:
        """Tell whether a store was looked at before."""
        return store in self._started_s

    def note(self, store: str, uptime_s: float) -> bool:
        """Take up a store's uptime; tell whether it started since the last look; the first tells so too."""
        started_s = self._monotonic_s() - uptime_s
        before_s = self._started_s.get(store)
        self._started_s[store] = started_s
        return before_s is None or started_s > before_s + STEP_S
