"""Decides when a process that died is started again."""

from __future__ import annotations

from dataclasses import dataclass

WINDOW_S = 60.0  # deaths longer ago than this are forgiven
MOST_IN_WINDOW = 5  # a process that dies more often has a cause that starting again does not cure
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 8.0


@dataclass(frozen=True, slots=True)
class Deaths:
    """Remember when one process died, in monotonic seconds."""

    at_s: tuple[float, ...] = ()

    def add(self, now_s: float) -> Deaths:
        """Note a death and forget what is long ago."""
        return Deaths((*(at for at in self.at_s if now_s - at < WINDOW_S), now_s))

    @property
    def hopeless(self) -> bool:
        """Tell whether it is to be left dead."""
        return len(self.at_s) > MOST_IN_WINDOW

    @property
    def start_again_s(self) -> float:
        """Return when to start it again: each time twice as long after its death."""
        wait = FIRST_WAIT_S * 2.0 ** (len(self.at_s) - 1)
        return self.at_s[-1] + min(LONGEST_WAIT_S, wait)
