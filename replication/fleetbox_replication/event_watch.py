"""Watch the events of one `meta` bucket for a labeler, at one small GET while nothing changes."""

from __future__ import annotations

from collections import defaultdict

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.events import ENTRIES, STREAM, Event, decode
from fleetbox.records import Head
from fleetbox.time import check_time

log = structlog.get_logger()

OVERLAP_US = 3_600_000_000  # µs; markers with slow clocks stamp behind the newest revision: look an hour back
MOST_LOOKS = 4096  # at what is counted and cannot be read: a quarter of an hour at five a second, in thirteen listings


class EventWatch:
    """Tell which events are new to one labeler: the robot's own, or with `site` that site's.

    A store counts a revision before it can be read. What a listing lacks of the count is looked for again, at growing
    distances, until it is there or, half-written for good, given up.
    """

    def __init__(self, store: Store, bucket: str, site: str) -> None:
        self._store, self._bucket = store, bucket
        self._closing = f"{STREAM}/{site}" if site else STREAM
        self._last: dict[str, tuple[int, int]] = {}  # what was told of each entry when all of it was read
        self._tried: dict[str, tuple[int, int]] = {}  # and when it was listed last
        self._looks = 0  # since then
        self._seen: dict[str, set[int]] = defaultdict(set)  # times of the revisions listed
        self._given_up = 0  # revisions that cannot be read
        self._known: set[tuple[str, str]] = set()

    async def news(self) -> list[Event]:
        """Return events that are new, or whose state is; those that this labeler has closed are left out."""
        entries = [one for one in await self._store.entries(self._bucket) if one.name in (STREAM, self._closing)]
        infos = {info.name: (info.records, info.latest_us) for info in entries}
        if infos == self._last or not self._is_due(infos):
            return []
        for info in entries:  # what the bucket let go of is counted no more
            self._seen[info.name] = {at for at in self._seen[info.name] if at >= info.oldest_us}
        start_us = self._start_us(infos)
        latest: dict[str, Head] = {}
        closed: set[str] = set()
        async for head in self._store.query(self._bucket, ENTRIES, start_us=start_us, head=True):
            self._seen[head.entry].add(head.time_us)
            if head.entry == self._closing and _is_closed(head):
                closed.add(head.labels.get("event", ""))
            known = latest.get(head.labels.get("event", ""))
            if head.entry == STREAM and (known is None or not _is_closed(known) or _is_closed(head)):
                latest[head.labels.get("event", "")] = head
        fresh = {(key, head.labels.get("state", "")): head for key, head in latest.items() if key not in closed}
        events = [await self._read(head) for key, head in fresh.items() if key not in self._known]
        self._known |= fresh.keys()
        if self._is_read(infos):
            self._last = infos
        return [event for event in events if event is not None]

    def _is_due(self, infos: dict[str, tuple[int, int]]) -> bool:
        """Tell whether to list: what changed at once, the same again at looks 1, 2, 4, 8 and so on."""
        self._looks = self._looks + 1 if infos == self._tried else 0
        self._tried = infos
        return self._looks & (self._looks - 1) == 0

    def _is_read(self, infos: dict[str, tuple[int, int]]) -> bool:
        """Tell whether as many revisions were listed as are counted, but for those that were given up."""
        lacking = sum(max(0, records - len(self._seen[name])) for name, (records, _) in infos.items())
        if self._looks >= MOST_LOOKS:
            self._given_up = lacking
        self._given_up = min(self._given_up, lacking)
        return lacking == self._given_up

    def _start_us(self, infos: dict[str, tuple[int, int]]) -> int:
        """Return from where to look: from the beginning when what is new is older than the newest."""
        before, now = self._last.get(STREAM), infos.get(STREAM)
        if before is None or now is None or (now != before and now[1] <= before[1]):
            return 0  # a clock was set back in between
        return max(0, before[1] - OVERLAP_US)

    async def _read(self, head: Head) -> Event | None:
        try:
            event = decode((await self._store.read(self._bucket, STREAM, head.time_us)).data)
            check_time(event.start_us)
            check_time(event.stop_us)
            return event
        except InputError as error:  # somebody else's record in our stream must not stop the labelling of the rest
            log.warning("event passed over", bucket=self._bucket, time_us=head.time_us, why=str(error))
            return None


def _is_closed(head: Head) -> bool:
    return head.labels.get("state") == "labelled"
