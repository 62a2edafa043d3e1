"""Tell which pictures can be read from videos that stand in the robot's store."""

from __future__ import annotations

from collections.abc import Callable

import xxhash

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.naming import VIDEO
from fleetbox.records import Head, Record
from fleetbox.types import video
from fleetbox_edge.transcoding.stretches import STRETCH_US

MEDIA = "media"


class Films:
    """Look into the videos made of a robot's pictures; `store` gives its open store."""

    def __init__(self, store: Callable[[], Store]) -> None:
        self._store = store
        self._times: dict[tuple[str, int, str], frozenset[int]] = {}

    async def times(self, stream: str, start_us: int, stop_us: int) -> frozenset[int]:
        """Return the times in µs of the frames that videos of a stream hold within [start_us, stop_us)."""
        found: set[int] = set()
        for head in await self.heads(stream, start_us, stop_us):
            found |= await self._times_of(head)
        return frozenset(time_us for time_us in found if start_us <= time_us < stop_us)

    async def heads(self, stream: str, start_us: int, stop_us: int) -> list[Head]:
        """Return the heads of a stream's videos that reach into [start_us, stop_us)."""
        entry = f"{stream}/{VIDEO}"
        first_us = max(0, start_us - STRETCH_US)
        try:
            query = self._store().query(MEDIA, (entry,), start_us=first_us, stop_us=stop_us, head=True)
            return [head async for head in query if int(head.labels.get("t_end", head.time_us)) >= start_us]
        except NotFound:
            return []

    async def _times_of(self, head: Head) -> frozenset[int]:
        key = (head.entry, head.time_us, head.labels.get("xxh", ""))
        if key not in self._times:
            if len(self._times) > 1000:  # some hours of one camera: 300 numbers each
                self._times.clear()
            self._times[key] = await self._read(head)
        return self._times[key]

    async def _read(self, head: Head) -> frozenset[int]:
        """Read the index of a video; one that does not open or is not whole holds nothing."""
        try:
            record: Record = await self._store().read(head.bucket, head.entry, head.time_us)
            offsets = video.offsets_us(record.data)
        except (InputError, NotFound):
            return frozenset()
        whole = xxhash.xxh3_64_hexdigest(record.data) == head.labels.get("xxh")
        if not whole or str(len(offsets)) != head.labels.get("rows"):
            return frozenset()
        return frozenset(head.time_us + offset for offset in offsets)
