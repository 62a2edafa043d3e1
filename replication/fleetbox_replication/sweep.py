"""Bring what a task has forgotten: records it would send that are not at the destination although it waits for nothing.

A task forgets when the relay dies with its batch on the wire, when the ring takes a block in mid-send, and when its
store is killed before it noted a write. None of that shows in `pending` or `active`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from itertools import groupby, islice

import structlog

from fleetbox.blobs import Store, TaskSpec
from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused
from fleetbox.records import Draft, Head
from fleetbox_replication.filters import condition_of
from fleetbox_replication.relay import Relay
from fleetbox_replication.tasks import is_ours

log = structlog.get_logger()

LOOK_S = 5.0  # a look costs two small requests; the engine itself takes ten seconds after each trouble
UPTIME_STEP_S = 2.0  # the store tells its uptime in whole seconds
SETTLE_S = 3.0  # what was written a moment ago is still on its way, not forgotten
FULL = 0.9  # of its quota: from here on the destination's ring may have let go of what is missing there
AT_ONCE = 32  # records in memory while they are copied, of 8 MB at most

Key = tuple[str, int]
Turn = Callable[[str, str], AbstractAsyncContextManager[object]]


@dataclass(slots=True)
class Swept:
    """Count what a sweep of one task found: forgotten records, those brought, those the source let go meanwhile."""

    forgotten: int = 0
    brought: int = 0
    gone: int = 0
    refused: list[tuple[Key, int, str]] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Tell whether nothing is left to bring."""
        return not self.refused


async def sweep(
    source: Store, there: Store, spec: TaskSpec, turn: Turn, sleep: Callable[[float], Awaitable[None]]
) -> Swept:
    """Compare what a task would send with what its destination holds, twice, and copy what is missing both times.

    `turn` gives an entry of the destination to this sweep alone while it writes there: healing a half-written record
    beside a batch on its way would give that batch's records each other's bytes.
    Lists one entry at a time: about 30 µs a record at each end. Raises Unreachable, AccessDenied.
    """
    missing = await _missing(source, there, spec)
    if missing:
        await sleep(SETTLE_S)
        missing = [head for head in missing if not await _is_there(there, spec.dst_bucket, head)]
    swept = Swept(forgotten=len(missing))
    for entry, heads in groupby(missing, key=lambda head: head.entry):
        for some in _batched(heads, AT_ONCE):
            async with turn(spec.dst_bucket, entry):
                await _bring(source, there, spec, some, swept)
    await _bring_attachments(source, there, spec)
    return swept


class Sweeper:
    """Sweep every task of a store once after the relay's start, after the store's restart and after a cut request.

    It waits until a task has nothing pending: what the engine still means to send is not forgotten. `source` gives
    the open store, `there` makes a new one of the destination; `relay` tells of cuts and is told what was brought.
    """

    def __init__(
        self,
        source: Callable[[], Store],
        there: Callable[[], Store],
        relay: Relay,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._there, self._relay = source, there, relay
        self._sleep, self._monotonic_s = sleep, monotonic_s
        self._seen: tuple[int, float] | None = None  # cuts, and when the store started
        self._due: set[str] = set()
        self._far: Store | None = None  # kept: it remembers since when a record there is half-written

    async def run(self) -> None:
        """Watch and sweep until cancelled; a store that is away is waited for."""
        try:
            while True:
                try:
                    await self.step()
                except FleetboxError as error:
                    log.debug("sweep waits", why=error.message)
                    if isinstance(error, AccessDenied):
                        await self.close()  # the token may have been replaced
                await self._sleep(LOOK_S)
        finally:
            await self.close()

    async def close(self) -> None:
        """Let go of the destination; the next look opens it again."""
        far, self._far = self._far, None
        if far is not None:
            await far.close()

    async def step(self) -> None:
        """Look once, and sweep what is due."""
        source = self._source()
        broke = await self._something_broke(source)
        if not broke and not self._due:
            return
        tasks = [task for task in await source.tasks() if is_ours(task.spec) and task.mode == "enabled"]
        if broke:
            self._due = {task.spec.name for task in tasks}
        for spec in [task.spec for task in tasks if task.spec.name in self._due and not task.pending]:
            self._far = self._far or self._there()
            swept = await sweep(source, self._far, spec, self._relay.turn, self._sleep)
            self._tell(spec.name, swept)
            if swept.clean:
                self._due.discard(spec.name)

    async def _something_broke(self, source: Store) -> bool:
        """Tell whether a cut or a restart may have made tasks forget; the first look always does."""
        started_s = self._monotonic_s() - (await source.info()).uptime_s
        seen, self._seen = self._seen, (self._relay.cuts, started_s)
        return seen is None or seen[0] != self._seen[0] or started_s > seen[1] + UPTIME_STEP_S

    def _tell(self, task: str, swept: Swept) -> None:
        if swept.brought:
            self._relay.brought(swept.brought)
            log.warning("brought records that their task had forgotten", task=task, records=swept.brought)
        for (entry, time_us), status, why in swept.refused[:3]:
            log.warning(
                "a forgotten record is refused", task=task, entry=entry, time_us=time_us, status=status, why=why
            )


async def _missing(source: Store, there: Store, spec: TaskSpec) -> list[Head]:
    entries = await source.entries(spec.src_bucket)
    horizon_us = await _horizon(there, spec.dst_bucket)
    missing: list[Head] = []
    for info in entries:
        held = {head.time_us async for head in _heads(there, spec.dst_bucket, info.name, start_us=info.oldest_us)}
        async for head in _heads(source, spec.src_bucket, info.name, spec):
            if head.time_us >= horizon_us and head.time_us not in held:
                missing.append(head)
    return missing


async def _heads(
    store: Store, bucket: str, entry: str, spec: TaskSpec | None = None, start_us: int = 0
) -> AsyncIterator[Head]:
    chosen = (entry, *(glob for glob in spec.entries if glob.startswith("!"))) if spec else (entry,)
    when = condition_of(spec.when) if spec else None
    try:
        async for head in store.query(bucket, chosen, start_us=start_us, when=when, head=True):
            yield head
    except NotFound:
        return  # nothing of that stream is there


async def _horizon(there: Store, bucket: str) -> int:
    """Return the time in µs before which the destination's own ring may have turned over; 0 while it has room."""
    spec, entries = await there.bucket_spec(bucket), await there.entries(bucket)
    if spec is None or spec.quota_type != "FIFO" or not entries:
        return 0
    if sum(entry.size_bytes for entry in entries) < FULL * spec.quota_bytes:
        return 0
    return min(entry.oldest_us for entry in entries)


async def _is_there(there: Store, bucket: str, head: Head) -> bool:
    try:
        return (await there.head(bucket, head.entry, head.time_us)).size == head.size
    except (NotFound, StoreRefused):
        return False


async def _bring(source: Store, there: Store, spec: TaskSpec, heads: Sequence[Head], swept: Swept) -> None:
    drafts = []
    for head in heads:
        try:
            record = await source.read(spec.src_bucket, head.entry, head.time_us)
        except (NotFound, StoreRefused):
            swept.gone += 1  # the ring has turned over it since it was listed
            continue
        drafts.append(Draft(record.entry, record.time_us, record.data, record.labels, record.content_type))
    if drafts:
        report = await there.write(spec.dst_bucket, drafts)
        swept.brought += report.written + report.healed
        swept.refused += [((draft.entry, draft.time_us), status, why) for draft, status, why in report.refused]


async def _bring_attachments(source: Store, there: Store, spec: TaskSpec) -> None:
    own = await source.attachments_of(spec.src_bucket, [info.name for info in await source.entries(spec.src_bucket)])
    arrived = {info.name for info in await there.entries(spec.dst_bucket)}  # the others may never be selected
    held = await there.attachments_of(spec.dst_bucket, [entry for entry in own if entry in arrived])
    for entry in own.keys() & arrived:
        for key in own[entry].keys() - held.get(entry, {}).keys():
            await there.write_attachment(spec.dst_bucket, entry, key, own[entry][key])


def _batched(heads: Iterable[Head], count: int) -> Iterator[list[Head]]:
    left = iter(heads)
    while some := list(islice(left, count)):
        yield some
