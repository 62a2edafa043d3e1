"""Notice that a site's InfluxDB no longer holds what was written: its bucket was removed, or an old copy is back."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetbox.disk import write_whole
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused
from fleetbox.measurements import STAMPS
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.feeds.points import point
from fleetbox_cloud.state import mark_of

log = structlog.get_logger()

LOOK_S = 10.0  # a bucket that somebody removed is filled again before the person has looked at three boards
KEPT = 2  # stamps that must be there: one alone could be of after a loss between a look and its writing


@dataclass(frozen=True, slots=True)
class _Known:
    """Hold what a site has written down: how often it began anew and when last, its newest stamps; µs."""

    number: int = 0
    noticed_us: int = 0
    stamps: tuple[int, ...] = ()


class Renewals:
    """Stamp a site's InfluxDB bucket, and count how often stamps were gone: feeds then begin from the first record.

    A stamp is a point; it goes as everything else goes, with its bucket, with a range that somebody deletes, with what
    was written since a copy was taken. So no right on buckets is needed, and a bucket's id tells nothing: a copy put
    back has the old one. What is written down on disk before any feed is told makes a kill of this process harmless.
    """

    def __init__(self, influx: Influx, site: str, state: Path, look_s: float = LOOK_S) -> None:
        self._influx, self._site, self._look_s = influx, site, look_s
        self._path = state / f"stamps-{mark_of(influx)}.json"
        self._known = self._read()
        self._told: list[Callable[[], None]] = []
        self._said = ""

    @property
    def number(self) -> int:
        """Return how often InfluxDB had to be fed from the beginning; whoever fed it under another number does so."""
        return self._known.number

    @property
    def noticed_us(self) -> int:
        """Return when that was last, in µs, 0 = never."""
        return self._known.noticed_us

    def tell(self, what: Callable[[], None]) -> None:
        """Have something called each time."""
        self._told.append(what)

    async def run(self) -> None:
        """Look until cancelled; raises Unreachable."""
        async with ScalarStore(self._influx) as scalars:
            while True:
                await self.look(scalars, time.time_ns() // 1000)
                await asyncio.sleep(self._look_s)

    async def look(self, scalars: ScalarStore, now_us: int) -> bool:
        """Look for the stamps and write the next one; return whether they were gone. Raises Unreachable."""
        try:
            gone = not await self._are_there(scalars) and not await self._have_expired(scalars, now_us)
            if gone:
                self._begin_anew(now_us)
            await self._stamp(scalars, now_us)
        except NotFound:  # the next look finds the stamps gone
            with suppress(FleetboxError):  # the loader makes it too, and whoever may not leaves it to somebody else
                await scalars.ensure_bucket()
            return False
        except (AccessDenied, StoreRefused) as error:  # a token that may only write: nobody can tell
            if error.message != self._said:
                log.info("InfluxDB does not show what it holds", site=self._site, why=error.message)
            self._said = error.message
            return False
        return gone

    async def _are_there(self, scalars: ScalarStore) -> bool:
        stamps = self._known.stamps
        if not stamps:
            return True
        asked = (
            f'SELECT "number" FROM "{STAMPS.name}" WHERE site::tag = $site '
            f"AND time >= {stamps[0]}u AND time <= {stamps[-1]}u"
        )
        found = {int(row[0]) for one in await scalars.query(asked, {"site": self._site}) for row in one.rows}
        return found.issuperset(stamps)

    async def _have_expired(self, scalars: ScalarStore, now_us: int) -> bool:
        """Tell whether InfluxDB has let the stamps go by itself while this site was off: as all that it fed."""
        keeps_s = await scalars.retention_s() or 0
        return keeps_s > 0 and self._known.stamps[0] < now_us - keeps_s * 1_000_000

    def _begin_anew(self, now_us: int) -> None:
        self._write(_Known(self._known.number + 1, now_us))
        log.warning(
            "InfluxDB's bucket was removed or is an older copy: it is fed again from all that the store holds",
            site=self._site, bucket=self._influx.bucket,
        )  # fmt: skip
        for what in self._told:
            what()

    async def _stamp(self, scalars: ScalarStore, now_us: int) -> None:
        known = self._known
        at_us = max(now_us, *(at + 1 for at in known.stamps)) if known.stamps else now_us
        line = point(STAMPS, {"site": self._site}, {"number": known.number}, at_us)
        assert line is not None, "a stamp has a number"
        await scalars.write_lines([line])
        self._write(_Known(known.number, known.noticed_us, (*known.stamps, at_us)[-KEPT:]))

    def _read(self) -> _Known:
        try:
            found: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            return _Known(int(found["number"]), int(found["noticed_us"]), tuple(map(int, found["stamps"])))
        except (OSError, ValueError, KeyError, TypeError):
            return _Known()

    def _write(self, known: _Known) -> None:
        self._known = known
        told = {"number": known.number, "noticed_us": known.noticed_us, "stamps": known.stamps}
        write_whole(self._path, json.dumps(told))
