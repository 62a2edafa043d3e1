"""Find the records that have arrived in a site's store since the last look, late ones too."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import replace

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import NotFound
from fleetbox.records import Head
from fleetbox_cloud.feeds.sent import Looked, Sent

OVERLAP_US = 10_000_000  # µs; writers stamp a record and send it a moment later, in any order
AT_ONCE = 5_000  # heads in memory: 5 MB
TRIES = 12  # looks at an entry of which something cannot be read: a minute; what is torn by then stays so


class Arrivals:
    """Look through entries of one store; `sent` holds what was seen, `since_us` bounds the very first look.

    What is newer than all that was seen is listed from there. When the entry has grown by more than that, something
    came late: then it is listed whole, which costs the store 30 µs a record. In a ring that turns meanwhile the
    numbers may not show it: whoever has to be sure asks for a `sweep`.
    The engine counts a record before it can be read: `unread` tells after a look that there are such, for the next one.
    A first look that is broken off goes on where it was.
    """

    def __init__(self, store: Store, sent: Sent, since_us: int) -> None:
        self._store, self._sent, self._since_us = store, sent, since_us
        self.unread = False
        self._newest_us = 0  # of the heads listed last
        self._tries: dict[tuple[str, str], int] = {}  # looks that did not help although something is unread
        self._broken_off: dict[tuple[str, str], tuple[int, Looked]] = {}  # first looks: up to where, and as it was then

    async def look(
        self, bucket: str, wants: Callable[[str], bool], *, sweep: bool = False
    ) -> AsyncGenerator[tuple[str, list[Head]], None]:
        """Yield (entry, heads) of records not seen yet, some at a time, in order of time within an entry.

        They count as seen once the caller has said so to `sent`; whoever stops taking gets the rest at the next look. A
        bucket that does not exist has none.
        """
        self.unread = False
        try:
            infos = await self._store.entries(bucket)
        except NotFound:
            return
        for info in infos:
            if not info.records or not wants(info.name):
                continue
            seen = Looked(info.records, info.latest_us, info.oldest_us)
            before = self._sent.looked(bucket, info.name)
            if before == seen and not sweep:
                continue
            start_us, whole = self._start(bucket, info, before, sweep), (bucket, info.name)
            known = self._sent.found(*whole)
            if before is None:  # what grows behind it meanwhile shows at the next look
                start_us, seen = self._broken_off.setdefault(whole, (start_us, seen))
            async for heads in self._fresh(bucket, info, start_us):
                yield info.name, heads
                if before is None:
                    self._broken_off[whole] = (heads[-1].time_us, seen)
            behind = info.latest_us >= start_us and self._newest_us < info.latest_us
            news = self._sent.found(*whole) > known
            if before is not None and not sweep and not behind and self._lacks(whole, info, before):
                async for heads in self._fresh(bucket, info, self._since_us):
                    yield info.name, heads
                behind, news = self._lacks(whole, info, before), False  # listed whole: so many times and no more
            if sweep:
                self._sent.forget(bucket, info.name, info.oldest_us)
            self._tries[whole] = 1 if news else self._tries.get(whole, 0) + 1
            if behind and self._tries[whole] < TRIES:
                self.unread = True
                continue
            more = self._sent.newer(*whole, seen.latest_us)  # they came after the entry was counted, and are seen
            seen = replace(seen, records=seen.records + more, latest_us=max(seen.latest_us, self._newest_us))
            self._sent.look(*whole, seen)
            self._broken_off.pop(whole, None)
            self._tries.pop(whole, None)

    def _start(self, bucket: str, info: EntryInfo, before: Looked | None, sweep: bool) -> int:
        if sweep or before is None:
            return self._since_us
        return max(self._since_us, (self._sent.latest_us(bucket, info.name) or 0) - OVERLAP_US)

    def _lacks(self, whole: tuple[str, str], info: EntryInfo, before: Looked) -> bool:
        """Tell whether an entry had grown by more than was found of what it then held."""
        found = self._sent.found(*whole) - self._sent.newer(*whole, info.latest_us)
        return info.records - before.records > found

    async def _fresh(self, bucket: str, info: EntryInfo, start_us: int) -> AsyncIterator[list[Head]]:
        heads: list[Head] = []
        self._newest_us = 0
        query = self._store.query(bucket, (info.name,), start_us=max(0, start_us), head=True)
        async for head in query:
            heads.append(head)
            self._newest_us = max(self._newest_us, head.time_us)
            if len(heads) >= AT_ONCE:
                if fresh := self._unseen(bucket, info.name, heads):
                    yield fresh
                heads = []
        if fresh := self._unseen(bucket, info.name, heads):
            yield fresh

    def _unseen(self, bucket: str, entry: str, heads: list[Head]) -> list[Head]:
        missing = self._sent.missing(bucket, entry, [head.time_us for head in heads])
        return [head for head in heads if head.time_us in missing]
