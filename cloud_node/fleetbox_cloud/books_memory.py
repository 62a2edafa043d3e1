"""Remember the recent books of one robot: follow its pages as they arrive, forget minutes that are old and settled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import NotFound
from fleetbox.ledger import ENTRIES, MINUTE_US, Key, Ledger, Page, minute_of, read_pages
from fleetbox.naming import site_bucket
from fleetbox.selectors import matches_glob
from fleetbox_replication.audit.terms import Terms

DAY_US = 86_400_000_000  # µs; how far back minutes are written again
BEFORE_US = 10 * MINUTE_US  # µs read before what is written again: the numbers of a stream's minute follow another's
OVERLAP_US = 10_000_000  # µs; two writers of one place stamp a page and write it a moment later, in any order
AT_ONCE = 50  # pages between two turns of the other parts of the site: 15 ms
MOST_OPEN = 50_000  # minutes remembered because they are open: a day of 31 streams


@dataclass(slots=True)
class _Followed:
    """Hold how far one entry of pages was read, and how many records it had then."""

    cursor_us: int
    records: int = -1
    latest_us: int = 0
    seen: set[int] = field(default_factory=set)


@dataclass(slots=True)
class Memory:
    """Hold every minute of a robot since `floor_us`, and those of `open` that are older.

    A page that tells of any other minute makes it due to be read again: `again_us` is the oldest such minute. Minutes
    before `from_us` are read for the order of what follows them, and told of where a page that came since changes them.
    `untold` is what a ring took before any page told of it, by minute: found once, it stays, also when what led to it
    is forgotten.
    """

    ledger: Ledger
    floor_us: int
    from_us: int = 0
    untold: dict[Key, Terms] = field(default_factory=dict)
    open: set[Key] = field(default_factory=set)
    again_us: int | None = None
    _entries: dict[str, _Followed] = field(default_factory=dict)

    @staticmethod
    def since(robot: str, start_us: int) -> Memory:
        """Remember nothing yet, and tell of the minutes from `start_us` on."""
        return Memory(Ledger(robot), minute_of(start_us) - BEFORE_US, minute_of(start_us))

    @property
    def read_us(self) -> int:
        """Return until when the pages of every writer were read, in µs: the one furthest behind."""
        return min((one.cursor_us for one in self._entries.values()), default=self.floor_us)

    async def news(self, store: Store, now_us: int) -> set[Key]:
        """Fold what arrived since the last look and return the minutes it is about, but for those not known any more.

        Raises Unreachable, AccessDenied.
        """
        changed: set[Key] = set()
        for info in await self._changed(store):
            followed = self._entries.setdefault(info.name, _Followed(self.floor_us))
            number = 0
            async for time_us, page in self._pages(store, info.name, followed.cursor_us - OVERLAP_US):
                if time_us not in followed.seen:
                    number += 1
                    followed.seen.add(time_us)
                    followed.cursor_us = max(followed.cursor_us, time_us)
                    self.ledger.add(page)
                    # what came since tells of any minute, what came before was told: it is read for the order alone
                    changed |= {key for key in keys_of(page) if key[2] >= self.from_us or time_us >= self.from_us}
            followed.seen = {at for at in followed.seen if at >= followed.cursor_us - OVERLAP_US}
            if info.latest_us > followed.cursor_us:  # the newest is counted already and cannot be read yet: next time
                followed.records += number if followed.records >= 0 else 0
                continue
            if 0 <= followed.records < info.records - number:  # some came late, with times behind the cursor
                self._again(now_us - DAY_US)
            followed.records = info.records if followed.records < 0 else max(info.records, followed.records + number)
            followed.latest_us = info.latest_us
        unknown = {key for key in changed if key[2] < self.floor_us and key not in self.open}
        if unknown:
            self._again(min(key[2] for key in unknown))
        return changed - unknown

    async def part(self, store: Store, start_us: int, stop_us: int) -> set[Key]:
        """Fold the pages written from start to stop (excluded) and return the minutes they are about that are known.

        For whoever reads the pages once, part by part, from the oldest on.
        """
        changed: set[Key] = set()
        for info in await _infos(store, self.ledger.robot):
            async for _, page in self._pages(store, info.name, start_us, stop_us):
                self.ledger.add(page)
                changed |= keys_of(page)
        return {key for key in changed if self._knows(key)}

    async def read_again(self, store: Store, now_us: int) -> set[Key]:
        """Read the last day anew and return its minutes since the oldest one that is due."""
        due_us, start_us = self.again_us or 0, minute_of(now_us - DAY_US)
        self.ledger, self.floor_us, self.again_us = Ledger(self.ledger.robot), start_us, None
        self.open.clear()
        for info in await _infos(store, self.ledger.robot):
            followed = self._entries[info.name] = _Followed(start_us, info.records, info.latest_us)
            async for time_us, page in self._pages(store, info.name, start_us):
                followed.cursor_us = max(followed.cursor_us, time_us)
                followed.seen.add(time_us)
                self.ledger.add(page)
            if info.latest_us > followed.cursor_us:
                followed.records, followed.latest_us = info.records - 1, 0  # as in `news`
        since_us = max(due_us, start_us)
        return {key for lines in self.ledger.lines.values() for key in lines if key[2] >= since_us}

    def forget(self, open_: set[Key], before_us: int) -> None:
        """Forget minutes before a time in µs, but for the newest of those that are open."""
        self.open = set(sorted(open_, key=lambda key: -key[2])[:MOST_OPEN])
        self.floor_us = max(self.floor_us, minute_of(before_us))
        for place, lines in self.ledger.lines.items():
            self.ledger.lines[place] = {key: folded for key, folded in lines.items() if self._knows(key)}
        for site, standings in self.ledger.standings.items():
            self.ledger.standings[site] = {key: item for key, item in standings.items() if self._knows(key)}
        for site, stood_us in self.ledger.stood_us.items():
            self.ledger.stood_us[site] = {key: at_us for key, at_us in stood_us.items() if self._knows(key)}
        self.untold = {key: terms for key, terms in self.untold.items() if self._knows(key)}
        self.ledger.drops = [drop for drop in self.ledger.drops if drop.time_us >= before_us - DAY_US]

    def _knows(self, key: Key) -> bool:
        return key[2] >= self.floor_us or key in self.open

    def _again(self, minute_us: int) -> None:
        self.again_us = minute_us if self.again_us is None else min(self.again_us, minute_us)

    async def _changed(self, store: Store) -> list[EntryInfo]:
        """Return the entries of pages that are not as they were at the last look."""
        return [
            info
            for info in await _infos(store, self.ledger.robot)
            if (known := self._entries.get(info.name)) is None
            or (known.records, known.latest_us) != (info.records, info.latest_us)
        ]

    async def _pages(
        self, store: Store, entry: str, start_us: int, stop_us: int | None = None
    ) -> AsyncIterator[tuple[int, Page]]:
        bucket, number = site_bucket(self.ledger.robot, "meta"), 0
        async for time_us, page in read_pages(store, bucket, (entry,), start_us=max(0, start_us), stop_us=stop_us):
            number += 1
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)
            yield time_us, page


async def oldest_page_us(store: Store, robot: str) -> int | None:
    """Return when the oldest page about a robot was written, in µs, None where there is none."""
    return min((info.oldest_us for info in await _infos(store, robot) if info.records), default=None)


def keys_of(page: Page) -> set[Key]:
    """Return the minutes that a page tells of."""
    told = {line.key for line in page.lines}
    told |= {(item.cls, item.stream, item.minute_us) for item in page.standings}
    told |= {(drop.cls, drop.stream, minute_of(drop.time_us)) for drop in page.drops}
    for stone in page.tombstones:
        told |= {(stone.cls, stone.stream, at) for at in _minutes(stone.start_us, stone.stop_us)}
    return told


async def _infos(store: Store, robot: str) -> list[EntryInfo]:
    try:
        infos = await store.entries(site_bucket(robot, "meta"))
    except NotFound:
        return []
    return [info for info in infos if any(matches_glob(glob, info.name) for glob in ENTRIES)]


def _minutes(start_us: int, stop_us: int) -> range:
    """Return the minutes of a range; of one longer than a day its last day, which is all that is written again."""
    return range(minute_of(max(start_us, stop_us - DAY_US)), stop_us, MINUTE_US)
