"""The clock of a session: wall time once, then monotonic, so that a clock step cannot bend the record."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Tell time as the anchor taken at construction plus the monotonic time since.

    `step_ns` says how far the wall clock has moved away since; a caller opens a new session when it is large.
    """

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns = wall_ns
        self._monotonic_ns = monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_ns(self) -> int:
        """Return ns since the epoch."""
        return self._offset_ns + self._monotonic_ns()

    def now_us(self) -> int:
        """Return µs since the epoch."""
        return (self._offset_ns + self._monotonic_ns()) // 1000

    def anew(self) -> Clock:
        """Return a clock that reads the same sources, with its anchor taken now."""
        return Clock(self._wall_ns, self._monotonic_ns)

    def step_ns(self) -> int:
        """Return by how many ns the wall clock has left this clock."""
        return self._wall_ns() - self.now_ns()
