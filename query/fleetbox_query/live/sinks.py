"""Say what takes what is played: how an item becomes messages, and where a message goes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fleetbox_query.items import Item

Status = Literal["playing", "paused", "buffering", "ended"]


@dataclass(frozen=True, slots=True)
class State:
    """Tell where playback is (ns since the epoch), how fast it goes, and whether it has just jumped."""

    status: Status
    at_ns: int
    speed: float
    did_seek: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold what a viewer asks of playback: play or pause, a speed, a position in ns or None."""

    play: bool
    speed: float
    seek_ns: int | None = None


class Sink(Protocol):
    """Take messages at their time."""

    def expand(self, item: Item) -> Iterable[tuple[int, Any]]:
        """Yield (time in ns, message) for an item; raises InputError, ValueError or KeyError where it cannot."""

    def send(self, time_ns: int, message: Any) -> None:
        """Pass a message on; raises FleetboxError where that is impossible."""

    def at(self, time_ns: int) -> None:
        """Hear where playback is."""

    def told(self, state: State) -> None:
        """Hear that playback began, stopped, jumped or ended."""

    def trouble(self, text: str) -> None:
        """Hear what could not be read."""


class Quiet:
    """Take no notice of where playback is."""

    def at(self, time_ns: int) -> None:
        """Take no notice."""

    def told(self, state: State) -> None:
        """Take no notice."""
