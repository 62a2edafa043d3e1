"""Copy the selected records of a ring's doomed part to `kept`: those that the site is not proven to hold."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from fleetbox.blobs import EntryInfo
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.ledger import MINUTE_US
from fleetbox.records import Draft, Head, Record
from fleetbox_edge.horizon import minutes
from fleetbox_edge.release import KEPT, Touch
from fleetbox_edge.schemas import KEY, grown
from fleetbox_edge.writer import Door
from fleetbox_replication.filters import SELECTED, When

log = structlog.get_logger()

IsProven = Callable[[str, str, int], bool]  # bucket, stream, minute in µs: the site holds all that is selected of it

AGAIN_S = 300.0  # an old minute is listed anew: an event may have reached back into it; half the guard's margin
AGAINS_A_TURN = 20  # and more often in a ring that turns sooner
SETTLED_US = 2 * MINUTE_US  # until a minute is that far behind, records of it may still be on their way
BATCH_BYTES = 4_000_000  # two batches in memory stay within what one answer of the engine takes
BATCH_RECORDS = 80  # what the engine takes at once
HEAD_BYTES = 400  # of labels and keys a record, which the engine counts into the bucket's size
FULL = (400, 413, 500, 507)  # how the engine says that a quota or the disk is at its end


@dataclass(slots=True)
class Done:
    """Count records: those copied, their bytes, and those that are due and not saved."""

    saved: int = 0
    saved_bytes: int = 0
    left: int = 0


class NoRoom(Exception):
    """Stop saving: there is no room for more; `done` is what was saved before."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.done = Done()


@dataclass(slots=True)
class Room:
    """Hold how many bytes may still be copied, and why not more."""

    left_bytes: int = 0
    why: str = ""

    def take(self, size: int) -> None:
        """Use it up for one record; raises NoRoom."""
        if size + HEAD_BYTES > self.left_bytes:
            raise NoRoom(self.why)
        self.left_bytes -= size + HEAD_BYTES


@dataclass(frozen=True, slots=True)
class Due:
    """Say what of a ring goes next: per entry the time in µs before which its records go, what goes first first.

    `turn_s` is how long the ring takes to turn, `at_s` the moment of this look, `newest_us` its newest record.
    """

    cls: str
    infos: Mapping[str, EntryInfo]
    until_us: Mapping[str, int]
    newest_us: int
    turn_s: float
    at_s: float

    @property
    def again_s(self) -> float:
        """Return after how long a minute that was looked at is looked at again."""
        return min(AGAIN_S, self.turn_s / AGAINS_A_TURN)


@dataclass(slots=True)
class _Batch:
    drafts: list[Draft] = field(default_factory=list)
    size: int = 0

    def add(self, record: Record) -> None:
        self.drafts.append(Draft(record.entry, record.time_us, record.data, record.labels, record.content_type))
        self.size += record.size

    @property
    def is_full(self) -> bool:
        return len(self.drafts) >= BATCH_RECORDS or self.size >= BATCH_BYTES


class Rescue:
    """Save streams one at a time; remember which minutes were saved whole, so that they are not listed each time."""

    def __init__(self, door: Door, is_proven: IsProven, touch: Touch = lambda cls, stream, time_us: None) -> None:
        self._door, self._is_proven, self._touch = door, is_proven, touch
        self._saved_s: dict[tuple[str, str], dict[int, float]] = {}
        self._schemas_s: dict[tuple[str, str], float] = {}

    async def save(self, due: Due, stream: str, room: Room) -> Done:
        """Copy what is due of a stream, oldest first. Raises NoRoom with what was done until then."""
        info, until_us = due.infos[stream], due.until_us[stream]
        saved_s = self._saved_s.setdefault((due.cls, stream), {})
        for minute_us in [minute_us for minute_us in saved_s if minute_us + MINUTE_US <= info.oldest_us]:
            del saved_s[minute_us]
        done = Done()
        for start_us, stop_us in joined(self._open(due, info, until_us)):
            try:
                await self._save(due, stream, start_us, stop_us, room, done)
            except NoRoom as end:
                end.done = done
                raise
            for minute_us in minutes(start_us, stop_us):
                if minute_us + MINUTE_US + SETTLED_US <= due.newest_us:
                    saved_s[minute_us] = due.at_s
        return done

    def _open(self, due: Due, info: EntryInfo, until_us: int) -> Iterator[int]:
        """Yield the minutes of a doomed part that are not proven and were not looked at lately."""
        saved_s = self._saved_s[due.cls, info.name]
        for minute_us in minutes(info.oldest_us, until_us):
            since_s = due.at_s - saved_s.get(minute_us, float("-inf"))
            if since_s >= due.again_s and not self._is_proven(due.cls, info.name, minute_us):
                yield minute_us

    async def _save(self, due: Due, stream: str, start_us: int, stop_us: int, room: Room, done: Done) -> None:
        kept = {head.time_us: head async for head in self._heads(KEPT, stream, start_us, stop_us)}
        selected = [head async for head in self._heads(due.cls, stream, start_us, stop_us, SELECTED)]
        missing = [head for head in selected if head.time_us not in kept]
        clashes = [head for head in selected if head.time_us in kept and not _same(head, kept[head.time_us])]
        if clashes:
            done.left += len(clashes)
            log.debug("records of kept stand in the way", stream=stream, records=len(clashes))
        if not missing:
            return
        before = done.saved
        try:
            await self._copy_schema(due, stream)
            await self._copy(due.cls, stream, missing, room, done)
        except NoRoom:
            done.left += len(missing) - (done.saved - before)
            raise

    async def _heads(
        self, bucket: str, stream: str, start_us: int, stop_us: int, when: When | None = None
    ) -> AsyncIterator[Head]:
        query = self._door.store.query(bucket, (stream,), start_us=start_us, stop_us=stop_us, when=when, head=True)
        try:
            async for head in query:
                yield head
        except NotFound:
            return  # nothing of that stream is there

    async def _copy(self, cls: str, stream: str, missing: Sequence[Head], room: Room, done: Done) -> None:
        """Copy records; what the ring lets go of meanwhile is gone, and the ledger says so."""
        wanted = {head.time_us for head in missing}
        start_us, stop_us = missing[0].time_us, missing[-1].time_us + 1
        records = self._door.store.query(cls, (stream,), start_us=start_us, stop_us=stop_us, when=SELECTED)
        batch = _Batch()
        try:
            async for record in records:
                if record.time_us not in wanted:
                    continue
                room.take(record.size)
                batch.add(record)
                if batch.is_full:
                    full, batch = batch, _Batch()
                    await self._write(full, done)
        finally:
            await self._write(batch, done)  # also what came before the end of the room

    async def _write(self, batch: _Batch, done: Done) -> None:
        if not batch.drafts:
            return
        report = await self._door.store.write(KEPT, batch.drafts)
        refused = {id(draft) for draft, _, _ in report.refused}
        done.saved += len(batch.drafts) - len(refused)
        for draft in batch.drafts:
            if id(draft) not in refused:
                done.saved_bytes += len(draft.data)
                self._touch(KEPT, draft.entry, draft.time_us)
        for _, status, message in report.refused:
            if status in FULL:
                raise NoRoom(message)
        done.left += len(refused)

    async def _copy_schema(self, due: Due, stream: str) -> None:
        """Let what describes a stream stand beside its saved records too; looked at again as seldom as they are."""
        key = due.cls, stream
        if due.at_s - self._schemas_s.get(key, float("-inf")) < due.again_s:
            return
        store = self._door.store
        own, held = await store.attachments(due.cls, stream), await store.attachments(KEPT, stream)
        try:
            for name, value in own.items():
                if name not in held:
                    await store.write_attachment(KEPT, stream, name, value)
                elif name == KEY:
                    await store.write_attachment(KEPT, stream, name, grown(held[name], value))
        except StoreRefused as refusal:
            if refusal.status in FULL:
                raise NoRoom(refusal.message) from refusal
            raise
        self._schemas_s[key] = due.at_s


def joined(starts_us: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Yield [start, stop) in µs of minutes in a row, given by their starts in order."""
    start_us = stop_us = None
    for minute_us in starts_us:
        if start_us is not None and stop_us == minute_us:
            stop_us = minute_us + MINUTE_US
            continue
        if start_us is not None and stop_us is not None:
            yield start_us, stop_us
        start_us, stop_us = minute_us, minute_us + MINUTE_US
    if start_us is not None and stop_us is not None:
        yield start_us, stop_us


def _same(head: Head, other: Head) -> bool:
    return head.size == other.size and head.labels.get("xxh") == other.labels.get("xxh")
