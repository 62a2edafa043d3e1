"""Read what a robot has recorded, slice by slice, from its own store or from a site's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from fleetbox import chunks
from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import InputError, NotFound
from fleetbox.labels import RESERVED
from fleetbox.naming import RING_CLASSES
from fleetbox.records import Head, Record
from fleetbox.settings import Place
from fleetbox.types import log as log_type
from fleetbox_edge.triggers import Reading
from fleetbox_edge.triggers.readings import TEXT_CHARS

READ_CLASSES = ("sensor", "log")  # their payloads are read; of pictures, labels and stamps tell what a rule may ask
SLICE_US = 60_000_000  # µs; a minute of a busy robot's numbers is some MB, and a day is 1,440 requests a class


@dataclass(slots=True)
class Source:
    """Hold one robot's records at one place; `held` lists the entries of each class that there is."""

    store: Store
    place: Place
    robot: str
    held: dict[str, list[EntryInfo]] = field(default_factory=dict)
    bound_us: int = chunks.BOUND_US
    unreadable: int = 0  # records that did not open: counted, and passed over

    @classmethod
    async def open(cls, store: Store, place: Place, robot: str) -> Source:
        """Look at what a place holds of a robot; raises NotFound where it holds nothing, Unreachable."""
        source = cls(store, place, robot)
        for name in RING_CLASSES:
            with suppress(NotFound):  # a robot without cameras has no media
                infos = await store.entries(place.bucket(robot, name))
                source.held[name] = [info for info in infos if info.records and "$" not in info.name]
        if not any(source.held.values()):
            step = f"fleetbox ls '{robot}/**' shows what is recorded where"
            raise NotFound(f"{place.name} holds no records of {robot}", step)
        for cls_read in set(source.held) & set(READ_CLASSES):
            entries = [info.name for info in source.held[cls_read]]
            kept = await store.attachments_of(place.bucket(robot, cls_read), entries)
            bounds = [found.get("schema", {}).get("chunk_bound_us") for found in kept.values()]
            source.bound_us = max([source.bound_us, *(bound for bound in bounds if isinstance(bound, int))])
        return source

    @property
    def classes(self) -> dict[str, str]:
        """Return each stream held with its class."""
        return {info.name: cls for cls, infos in self.held.items() for info in infos}

    def span_us(self) -> tuple[int, int]:
        """Return the stamps of the oldest record and of the newest."""
        infos = [info for infos in self.held.values() for info in infos]
        return min(info.oldest_us for info in infos), max(info.latest_us for info in infos)

    async def heads(self, start_us: int, stop_us: int) -> AsyncIterator[tuple[str, Head]]:
        """Yield (class, head) of each record that begins in [start_us, stop_us)."""
        for cls, infos in self.held.items():
            if infos:
                bucket = self.place.bucket(self.robot, cls)
                names = [info.name for info in infos]
                with suppress(NotFound):
                    async for head in self.store.query(bucket, names, start_us=start_us, stop_us=stop_us, head=True):
                        yield cls, head

    async def readings(self, start_us: int, stop_us: int, wants: Callable[[str], bool]) -> list[Reading]:
        """Return the rows and records of the wanted streams that begin in [start_us, stop_us), not in order.

        Rows of a chunk that begins there may lie up to its bound beyond.
        """
        found: list[Reading] = []
        for cls, infos in self.held.items():
            names = [info.name for info in infos if wants(info.name)]
            if names:
                bucket = self.place.bucket(self.robot, cls)
                with suppress(NotFound):
                    await self._read(bucket, names, start_us, stop_us, cls in READ_CLASSES, found)
        return found

    async def _read(
        self, bucket: str, names: Sequence[str], start_us: int, stop_us: int, payload: bool, found: list[Reading]
    ) -> None:
        query = self.store.query(bucket, names, start_us=start_us, stop_us=stop_us, head=not payload)
        async for record in query:
            try:
                found.extend(_readings(record))
            except InputError:
                self.unreadable += 1

    async def was_on(self, start_us: int, stop_us: int) -> bool:
        """Tell whether the robot recorded anything at all in [start_us, stop_us)."""
        async for _ in self.heads(start_us, stop_us):
            return True
        return False


def _readings(record: Head) -> list[Reading]:
    """Return a record as the tap of a recorder would have seen it: with the labels that were given with it."""
    labels = {name: value for name, value in record.labels.items() if name not in RESERVED}
    if not isinstance(record, Record):
        return [Reading(record.entry, record.time_us, labels=labels)]
    if "rows" in record.labels:
        return [Reading(record.entry, row.pop(chunks.TIME), row, labels) for row in chunks.rows(record.data)]
    text = log_type.decode(record.data[:TEXT_CHARS]) if record.labels.get("type") == "log" else None
    return [Reading(record.entry, record.time_us, labels=labels, text=text)]
