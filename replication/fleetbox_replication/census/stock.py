"""Reach one robot's records and pages at one place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import aclosing

from fleetbox.blobs import BucketSpec, EntryInfo, Store
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.ledger import MINUTE_US, Key, Line, Page, entry_of, read_pages, write_page
from fleetbox.naming import CLASSES, Class
from fleetbox_replication.census.listing import Stream
from fleetbox_replication.census.rings import is_ring, is_turning
from fleetbox_replication.census.scope import CensusScope
from fleetbox_replication.census.tally import Counted
from fleetbox_replication.census.telling import Recent, paged

Infos = dict[Class, list[EntryInfo]]

SPEC_S = 60.0  # how a bucket is kept changes when a person changes it
REMOVING = 409  # what the engine says of a bucket while it removes it
RECENT_US = 15 * MINUTE_US  # of pages read at a start: as many minutes as a census remembers, and a few to spare
LATER_US = 3_600_000_000  # µs; pages about a minute are looked for this long after it: later ones are told once more


class Stock:
    """Ask the store of a place about one robot, and write its pages there."""

    def __init__(self, connect: Callable[[], Store], scope: CensusScope, robot: str, now_us: Callable[[], int]) -> None:
        self._connect, self._scope, self.robot, self.now_us = connect, scope, robot, now_us
        self._specs: dict[Class, tuple[float, BucketSpec | None]] = {}
        self._last_us = 0
        self.own = entry_of(scope.place, robot)

    @property
    def store(self) -> Store:
        """Return the place's store as it is open now."""
        return self._connect()

    def bucket(self, cls: Class) -> str:
        """Name the bucket of a class."""
        return self._scope.bucket_of(self.robot, cls)

    async def infos(self) -> Infos:
        """Return the entries of every class; a robot without cameras has no media bucket."""
        infos = {cls: await self._entries(cls) for cls in CLASSES}
        self._last_us = max([info.latest_us for info in infos["meta"] if info.name == self.own], default=self._last_us)
        return infos

    async def let_go(
        self, infos: Infos, streams: Iterable[Stream], turned_us: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Return the time in µs before which records are gone as of now, for those of the streams in a turning ring.

        A ring turns when its bucket is nearly full, or when a stream was seen to lose its oldest records, `turned_us`.
        """
        gone_us: dict[Stream, int] = {}
        for cls in {cls for cls, _ in streams}:
            spec = await self._spec(cls)
            turning = is_turning(spec, infos[cls])
            if is_ring(spec) and (turning or any(key[0] == cls for key in turned_us)):
                for info in await self._entries(cls):
                    if turning or (cls, info.name) in turned_us:
                        gone_us[cls, info.name] = max(info.oldest_us, turned_us.get((cls, info.name), 0))
        return gone_us

    async def write(self, lines: Sequence[Line]) -> int:
        """Write lines as pages that stand after every page of this place, whatever the clock says; count them."""
        for portion in paged(lines):
            page = Page(self._scope.place, self.robot, max(self.now_us(), self._last_us + 1), portion)
            self._last_us = (await write_page(self.store, self.bucket("meta"), page)).time_us
        return len(lines)

    async def told(self, start_us: int, stop_us: int) -> dict[Key, Line]:
        """Return the last line of each minute in [start_us, stop_us) as far as told there and in the hour after."""
        found: dict[Key, Line] = {}
        async with aclosing(read_pages(self.store, self.bucket("meta"), (self.own,), start_us=start_us)) as pages:
            async for time_us, page in pages:
                if time_us > stop_us + LATER_US:
                    break
                found |= {line.key: line for line in page.lines if start_us <= line.minute_us < stop_us}
        return found

    async def recent(self) -> Recent:
        """Return what this place's last pages told; call it after `infos`."""
        recent, start_us = Recent(), max(0, self._last_us - RECENT_US)
        async for _, page in read_pages(self.store, self.bucket("meta"), (self.own,), start_us=start_us):
            for line in page.lines:
                recent.keep(Counted(line, 0))
        return recent

    async def _entries(self, cls: Class) -> list[EntryInfo]:
        try:
            return await self.store.entries(self.bucket(cls))
        except NotFound:
            return []
        except StoreRefused as error:
            if error.status != REMOVING:
                raise
            return []

    async def _spec(self, cls: Class) -> BucketSpec | None:
        asked_s, spec = self._specs.get(cls, (float("-inf"), None))
        if time.monotonic() - asked_s > SPEC_S:
            spec = await self.store.bucket_spec(self.bucket(cls))
            self._specs[cls] = time.monotonic(), spec
        return spec
