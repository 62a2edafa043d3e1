"""Bring the destination what it lacks: copy the record itself, delete wrong bytes first, add late labels."""

from __future__ import annotations

import asyncio
from bisect import bisect_left, bisect_right
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, field
from itertools import groupby

from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft, Head, Record
from fleetbox_replication.filters import condition_of
from fleetbox_replication.reconcile.difference import lacking
from fleetbox_replication.reconcile.listing import Ends, Listed

AT_ONCE = 80  # records in memory while they are copied: one batch of the engine
AT_ONCE_BYTES = 8_000_000  # and one batch of its bytes
READERS = 8  # single records read side by side, where the missing lie far apart
DENSE = 4  # a query that yields at most so many unwanted records for each wanted one beats single reads

Turn = Callable[[str, str], AbstractAsyncContextManager[object]]
Pay = Callable[[int, str], Awaitable[None]]
Refused = tuple[Head, int, str]


@dataclass(slots=True)
class Mended:
    """Count what was brought, mended, labelled anew; name what the source let go meanwhile and what is refused."""

    brought: int = 0
    mended: int = 0
    relabelled: int = 0
    gone: list[Head] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Tell whether nothing is left to bring."""
        return not self.refused

    def add(self, other: Mended) -> None:
        """Count another's work in."""
        self.brought += other.brought
        self.mended += other.mended
        self.relabelled += other.relabelled
        self.gone += other.gone
        self.refused += other.refused


class Copier:
    """Copy records over one hop.

    `turn` gives an entry of the destination to this copier alone while it writes there: healing a half-written record
    beside a batch on its way would give that batch's records each other's bytes. `pay` waits until so many bytes may
    leave for a bucket.
    """

    def __init__(self, ends: Ends, turn: Turn, pay: Pay | None = None) -> None:
        self._ends, self._turn, self._pay = ends, turn, pay
        self._from, self._to = ends.spec.src_bucket, ends.spec.dst_bucket

    @property
    def ends(self) -> Ends:
        """Return the two ends it copies between."""
        return self._ends

    async def mend(self, listed: Listed) -> Mended:
        """Bring what is missing, replace what is wrong, add labels. Raises Unreachable, AccessDenied."""
        difference = listed.difference
        done = await self.bring(difference.missing, [head.time_us for head in listed.selected])
        if difference.wrong:
            done.add(await self._replace(difference.wrong))
        if difference.stale:
            done.add(await self._relabel(listed))
        return done

    async def bring(self, missing: Sequence[Head], selected_us: Sequence[int] = ()) -> Mended:
        """Copy records of the source; one batch that is refused whole ends it, the rest is refused alike.

        `selected_us` are the times of all selected records of the stream, to choose between a query and single reads.
        """
        done = Mended()
        left = list(missing)
        for entry, heads in groupby(missing, key=lambda head: head.entry):
            for some in _batched(heads):
                left = left[len(some) :]
                records = await self._read(some, selected_us)
                found = {record.time_us for record in records}
                done.gone += [head for head in some if head.time_us not in found]
                refused = await self._write(entry, records, done)
                if refused and len(refused) == len(records) and refused[0][1] not in (409, 425):
                    done.refused += [(head, refused[0][1], refused[0][2]) for head in left]
                    return done
        return done

    async def _write(self, entry: str, records: Sequence[Record], done: Mended) -> list[Refused]:
        if not records:
            return []
        drafts = [Draft(item.entry, item.time_us, item.data, item.labels, item.content_type) for item in records]
        if self._pay is not None:
            await self._pay(sum(len(draft.data) for draft in drafts), self._to)
        async with self._turn(self._to, entry):
            report = await self._ends.there.write(self._to, drafts)
        done.brought += report.written + report.healed
        by_time = {record.time_us: record for record in records}
        refused: list[Refused] = [(by_time[draft.time_us], status, why) for draft, status, why in report.refused]
        done.refused += refused
        return refused

    async def _replace(self, wrong: Sequence[Head]) -> Mended:
        """Delete wrong bytes at the destination, then copy; a record that the source let go stays as it is."""
        done = Mended()
        for entry, heads in groupby(wrong, key=lambda head: head.entry):
            for some in _batched(heads):
                records = await self._read(some, ())
                async with self._turn(self._to, entry):
                    await self._ends.there.delete(self._to, entry, [record.time_us for record in records])
                again = Mended()
                await self._write(entry, records, again)
                done.mended += again.brought
                done.refused += again.refused
        return done

    async def _relabel(self, listed: Listed) -> Mended:
        """Add what the source's labels have and the destination's lack, grouped by what is to be added."""
        there = {head.time_us: head for head in listed.theirs}
        groups: dict[tuple[tuple[str, str], ...], list[Head]] = {}
        for head in listed.difference.stale:
            wanted = lacking(head.labels, there[head.time_us].labels)
            groups.setdefault(tuple(sorted(wanted.items())), []).append(head)
        done = Mended()
        for labels, heads in groups.items():
            times = {listed.stream: [head.time_us for head in heads]}
            async with self._turn(self._to, listed.stream):
                report = await self._ends.there.relabel(self._to, times, dict(labels))
            done.relabelled += report.done
            by_time = {head.time_us: head for head in heads}
            done.refused += [(by_time[item.time_us], item.status, item.message) for item in report.refused]
        return done

    async def _read(self, some: Sequence[Head], selected_us: Sequence[int]) -> list[Record]:
        """Read records that may leave meanwhile: in one query where they lie close together, else one by one."""
        first_us, last_us = some[0].time_us, some[-1].time_us
        among = bisect_right(selected_us, last_us) - bisect_left(selected_us, first_us)
        if len(some) > 1 and 0 < among <= DENSE * len(some):
            return await self._read_run(some)
        gate = asyncio.Semaphore(READERS)
        found = await asyncio.gather(*(self._read_one(head, gate) for head in some))
        return [record for record in found if record is not None]

    async def _read_run(self, some: Sequence[Head]) -> list[Record]:
        wanted = {head.time_us for head in some}
        start_us, stop_us = some[0].time_us, some[-1].time_us + 1
        when = condition_of(self._ends.spec.when)
        asked = self._ends.source.query(self._from, (some[0].entry,), start_us=start_us, stop_us=stop_us, when=when)
        try:
            async with aclosing(asked) as found:
                return [record async for record in found if record.time_us in wanted]
        except NotFound:
            return []

    async def _read_one(self, head: Head, gate: asyncio.Semaphore) -> Record | None:
        try:
            async with gate:
                return await self._ends.source.read(self._from, head.entry, head.time_us)
        except (NotFound, StoreRefused):
            return None  # the ring has turned over it since it was listed


def _batched(heads: Iterable[Head]) -> Iterator[list[Head]]:
    """Cut heads into what one batch of the engine takes."""
    some: list[Head] = []
    size = 0
    for head in heads:
        if some and (len(some) == AT_ONCE or size + head.size > AT_ONCE_BYTES):
            yield some
            some, size = [], 0
        some.append(head)
        size += head.size
    if some:
        yield some
