"""Gather what each place's destination does not take: records let through by name, and records held at the source."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from fleetbox.errors import FleetboxError, NotFound, Unreachable
from fleetbox.settings import FleetSettings, Place
from fleetbox_replication.dead_letters import DeadLetters, letters_of, shown_letters
from fleetbox_replication.status import relay_counters

LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, slots=True)
class Held:
    """Say what one place's relay let through and what it holds now.

    `letters` are groups per entry and status; `held` are refusals going on, per bucket and status, None when the
    relay could not be asked; `source` is where the letters come from: "relay" or "file".
    """

    place: str
    next: str | None
    source: str | None = None
    open: int = 0
    letters: tuple[Mapping[str, Any], ...] = ()
    held: tuple[Mapping[str, Any], ...] | None = None
    error: FleetboxError | None = None

    def row(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "place": self.place,
            "to": self.next,
            "read_from": self.source,
            "open": self.open,
            "dead_letters": [dict(item) for item in self.letters],
            "held": None if self.held is None else [dict(item) for item in self.held],
            "error": self.error.message if self.error else None,
        }


async def gather_held(fleet: FleetSettings, places: Iterable[Place]) -> list[Held]:
    """Ask the relay of each place on this machine, and read the list in its state folder where none answers."""
    return list(await asyncio.gather(*(_held(fleet, place) for place in places)))


async def _held(fleet: FleetSettings, place: Place) -> Held:
    relay, why = await relay_counters(place) if is_here(place) else (None, "its relay is on another machine")
    if relay is not None and "dead_letters" in relay:
        letters = relay["dead_letters"]
        held = tuple(item for item in relay.get("refused", []) if item.get("active"))
        return Held(place.name, place.next, "relay", letters["open"], tuple(letters["groups"]), held)
    try:
        shown = await asyncio.to_thread(_from_file, fleet, place)
    except FleetboxError as error:
        step = f"run it on {place.name}: fleetbox replicate dead-letters"
        return Held(place.name, place.next, error=Unreachable(f"{place.name}: {why}; {error.message}", step))
    return Held(place.name, place.next, "file", shown["open"], tuple(shown["groups"]))


def _from_file(fleet: FleetSettings, place: Place) -> dict[str, Any]:
    state = fleet.state_of(place.name)
    if state is None or not is_here(place):
        raise NotFound("its state folder is not known here")
    letters = DeadLetters.read(letters_of(state))
    try:
        return shown_letters(letters)
    finally:
        letters.close()


def is_here(place: Place) -> bool:
    """Tell whether a place is on this machine: only then are its relay and its files."""
    return urlsplit(place.url).hostname in LOCAL
