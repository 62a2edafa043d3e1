"""Follow the pages of one place as a change log: only what was written since, each page once."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.ledger import Page, read_pages
from fleetbox_replication.reconcile.state import Cursor

OVERLAP_US = 10_000_000  # µs; two writers of one place stamp a page and write it a moment later, in any order
AT_ONCE = 200  # pages given at a time: a month of them must not stand in memory together


class ReadAgain(Exception):
    """Ask for all pages from the beginning: some were written behind the cursor."""


@dataclass(slots=True)
class Follower:
    """Read one entry of pages from a cursor on.

    A clock that was set back stamps pages behind the cursor: then the store holds more than were read, and `news`
    raises ReadAgain.
    """

    bucket: str
    entry: str
    _seen: dict[int, None] = field(default_factory=dict)
    _last: tuple[int, int] | None = None

    async def news(self, store: Store, cursor: Cursor, *, look_first: bool) -> tuple[list[Page], Cursor]:
        """Return the next pages and the cursor behind them, none at the end. Raises Unreachable, AccessDenied.

        `look_first` asks whether anything has changed at all, which is cheaper only where the store is near.
        """
        records, latest_us = cursor.records, 0
        if look_first:
            records, latest_us = await self._look(store)
            if (records, latest_us) == self._last:
                return [], cursor
        pages, last_us, whole = await self._read(store, cursor)
        if look_first and whole:
            behind = records - cursor.records > len(pages) and latest_us <= cursor.time_us
            unread = latest_us > last_us  # a store counts a page before it can be read
            self._last = None if behind or unread else (records, latest_us)
            if behind:
                self._seen.clear()
                raise ReadAgain
        return pages, Cursor(last_us, records if whole else cursor.records + len(pages))

    async def _look(self, store: Store) -> tuple[int, int]:
        try:
            found = [info for info in await store.entries(self.bucket) if info.name == self.entry]
        except NotFound:
            return 0, 0
        return (found[0].records, found[0].latest_us) if found else (0, 0)

    async def _read(self, store: Store, cursor: Cursor) -> tuple[list[Page], int, bool]:
        pages: list[Page] = []
        last_us = cursor.time_us
        found = read_pages(store, self.bucket, (self.entry,), start_us=max(0, cursor.time_us + 1 - OVERLAP_US))
        async for time_us, page in found:
            if time_us in self._seen:
                continue
            self._note(time_us)
            pages.append(page)
            last_us = max(last_us, time_us)
            if len(pages) == AT_ONCE:
                await found.aclose()
                return pages, last_us, False
        return pages, last_us, True

    def _note(self, time_us: int) -> None:
        self._seen[time_us] = None
        while len(self._seen) > 2 * AT_ONCE:
            self._seen.pop(next(iter(self._seen)))
