"""When each of many things was last done, so that each is done at its own pace."""

from __future__ import annotations

from collections.abc import Callable


class Timetable:
    """Tell what is due. What fails is not noted as done, and so is tried again at the next look."""

    def __init__(self, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._done_s: dict[tuple[str, str], float] = {}

    def is_due(self, what: str, whose: str, every_s: float) -> bool:
        """Tell whether so much time has passed since this was last done."""
        last_s = self._done_s.get((what, whose))
        return last_s is None or self._monotonic_s() - last_s >= every_s

    def done(self, what: str, whose: str = "") -> None:
        """Note that this was done just now."""
        self._done_s[what, whose] = self._monotonic_s()

    def hasten(self, what: str, whose: str = "") -> None:
        """Make this due at once."""
        self._done_s.pop((what, whose), None)
