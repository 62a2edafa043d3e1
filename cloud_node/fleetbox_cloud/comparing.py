"""Compare what InfluxDB holds with what it was given, minute by minute, and mend what is short from the chunks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fleetbox.errors import AccessDenied, NotFound
from fleetbox.ledger import MINUTE_US
from fleetbox.scalars import ScalarStore
from fleetbox_cloud.comparison import ASKED, MENDED, NO_CHUNK, UNEXPLAINED, Stretch, short_of, stretches, wanted_of
from fleetbox_cloud.cursor import Short
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.mending import mend
from fleetbox_cloud.sources import buckets_of

REST = 9.0  # times as long as an answer took: a comparison leaves InfluxDB nine tenths of its time
REMEMBERED_US = 30 * 86_400_000_000  # a month: what cannot be mended is shown for as long


@dataclass(slots=True)
class Findings:
    """Say what a comparison found: minutes and values asked for, values that were put back, those still short."""

    minutes: int = 0
    values: int = 0
    repaired: int = 0
    short: int = 0


class Comparer:
    """Compare for one loader; `rest` waits between questions."""

    def __init__(self, loader: Loader, rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._loader = loader
        self._cursor = loader.cursor
        self._rest = rest

    async def compare(self, since_us: int, now_us: int, *, again: bool = True) -> Findings:
        """Compare all minutes since a time in µs; mend and count what is short.

        Without `again`, minutes that could not be mended before are only counted.
        Raises Unreachable, AccessDenied, NotFound and StoreRefused.
        """
        findings = Findings()
        from_us = await keeps_from_us(self._loader.scalars, now_us)
        for robot, stream in self._cursor.streams():
            # The books are read before InfluxDB is asked: it may hold more by then, and never less.
            given = self._cursor.given(buckets_of(robot), stream, since_us)
            for stretch in stretches(wanted_of(given, from_us), ASKED):
                await self._stretch(robot, stream, stretch, findings, again)
        self._cursor.forget_short(now_us - REMEMBERED_US)
        return findings

    async def _stretch(self, robot: str, stream: str, stretch: Stretch, findings: Findings, again: bool) -> None:
        held = await self._held(robot, stream, stretch)
        short = short_of(stretch.wanted, held)
        known = [] if again else self._known(robot, stream, short)
        left = {at: stretch.wanted[at] for at in short.keys() - {one.minute_us for one in known}}
        found = known
        for part in stretches(left, MENDED):
            found = found + await self._mend(robot, stream, part, held, findings)
        self._cursor.put_short(robot, stream, stretch.wanted, found)
        findings.minutes += len(stretch.wanted)
        findings.values += sum(stretch.wanted.values())
        findings.short += sum(one.n for one in found)

    def _known(self, robot: str, stream: str, short: Mapping[int, int]) -> list[Short]:
        """Return those of the short minutes that were just as short after they were last mended."""
        return [one for one in self._cursor.shorts(robot, stream) if short.get(one.minute_us) == one.n]

    async def _mend(
        self, robot: str, stream: str, part: Stretch, before: Mapping[int, int], findings: Findings
    ) -> list[Short]:
        """Mend short minutes; return those that stay short."""
        gone = await mend(self._loader, robot, stream, part)
        given = self._cursor.given(buckets_of(robot), stream, part.start_us, part.stop_us)
        held = await self._held(robot, stream, part)
        repaired = sum(max(0, held.get(at, 0) - before.get(at, 0)) for at in part.wanted)
        self._cursor.count(buckets_of(robot)[0], "repaired", repaired)
        findings.repaired += repaired
        still = short_of({at: given[at].values for at in part.wanted if at in given}, held)
        return [Short(robot, stream, at, n, NO_CHUNK if at in gone else UNEXPLAINED) for at, n in still.items()]

    async def _held(self, robot: str, stream: str, stretch: Stretch) -> dict[int, int]:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        held = await self._loader.held(robot, stream, stretch.start_us, stretch.stop_us)
        await self._rest(REST * (loop.time() - began_s))
        return held


async def keeps_from_us(scalars: ScalarStore, now_us: int) -> int | None:
    """Return from when on InfluxDB must still hold what it took; None = for ever, or it does not say."""
    try:
        keeps_s = await scalars.retention_s()
    except (AccessDenied, NotFound):
        return None  # a token for the points alone: what expired is refused when it is mended, and counted so
    return now_us - keeps_s * 1_000_000 + MINUTE_US if keeps_s else None
