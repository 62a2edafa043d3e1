"""Go through older minutes in steps that leave the machine to others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from fleetbox.ledger import Key, Line, minute_of
from fleetbox.naming import Class
from fleetbox_replication.census.listing import Listed, Stream, list_minutes, next_minute
from fleetbox_replication.census.notebook import Notes
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.stock import Infos, Stock
from fleetbox_replication.census.telling import revised
from fleetbox_replication.census.walking import Stretch, next_stretch, stepped


def news(listed: Listed, told: Mapping[Key, Line], gone_us: Mapping[Stream, int]) -> list[Line]:
    """Return the lines that say something that was not told; rings have taken what is older than `gone_us`."""
    found = []
    for key, item in listed.minutes.items():
        partial = item.line.minute_us < gone_us.get((key[0], key[1]), 0)
        line = revised(told.get(key), replace(item.line, partial=partial))
        if line is not None:
            found.append(line)
    return found


def gains(listed: Listed, told: Mapping[Key, Line]) -> dict[Stream, int]:
    """Count per stream the records that were not told before."""
    gained: dict[Stream, int] = {}
    for key, item in listed.minutes.items():
        before = told[key].held.records if key in told else 0
        gained[key[0], key[1]] = gained.get((key[0], key[1]), 0) + item.line.held.records - before
    return gained


class Walker:
    """List what was there before the census, and what nobody noted, a stretch at a time."""

    def __init__(self, stock: Stock, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._stock, self._monotonic_s = stock, monotonic_s
        self._due_s = float("-inf")

    async def step(self, notes: Notes, infos: Infos, rhythm: Rhythm) -> int:
        """List one stretch if the share of time that walks may take allows it; return the lines written."""
        stretch = next_stretch(notes.streams, rhythm.stretch_us)
        started_s = self._monotonic_s()
        if stretch is None or (started_s < self._due_s and not rhythm.now):
            return 0
        listed = await list_minutes(self._stock.store, self._stock.bucket, stretch.ranges)
        told = await self._stock.told(stretch.start_us, stretch.stop_us) if listed.minutes else {}
        gone_us = await self._stock.let_go(infos, stretch.streams, notes.turned_us) if listed.minutes else {}
        lines = news(listed, told, gone_us)
        next_us = stretch.stop_us if listed.minutes else await self._skip(stretch)
        await self._stock.write(lines)
        for item in listed.minutes.values():
            notes.owing.told(item.line)
        notes.streams = stepped(notes.streams, stretch, next_us, gains(listed, told))
        took_s = self._monotonic_s() - started_s
        self._due_s = self._monotonic_s() + took_s * (1 / rhythm.walk_share - 1)
        return len(lines)

    async def _skip(self, stretch: Stretch) -> int:
        """Return where to go on after a stretch without records: a ring may have slept for months."""
        streams: dict[Class, list[str]] = {}
        for cls, stream in stretch.streams:
            streams.setdefault(cls, []).append(stream)
        found = [
            await next_minute(self._stock.store, self._stock.bucket(cls), names, stretch.stop_us, stretch.end_us)
            for cls, names in streams.items()
        ]  # fmt: skip
        return minute_of(min((time_us for time_us in found if time_us is not None), default=stretch.end_us))
