"""Keep the disk above its floor and streams within their retention: find what may go, least valuable first."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import structlog

from fleetbox.blobs import EntryInfo
from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US
from fleetbox.naming import RING_CLASSES, SMALL, VIDEO, parent_of
from fleetbox.records import Head
from fleetbox.settings import Policy, RobotSettings
from fleetbox_edge.guard import free_bytes_of
from fleetbox_edge.ports import Door
from fleetbox_edge.release import FindProven
from fleetbox_edge.retention.memory import Memory, write_memory
from fleetbox_edge.retention.removing import Removing, Touch
from fleetbox_edge.retention.value import REASONS, TOO_OLD, Rank, Worth, choose, is_expired, rank_of
from fleetbox_edge.store_disk import StoreDisk

log = structlog.get_logger()

HEADROOM_BYTES = 256_000_000  # four blocks above the floor: the engine copies what stays of a block before it frees it
SETTLED_US = 2 * MINUTE_US  # younger records may be in the block that is being written
SLICE_US = 10 * MINUTE_US  # of all streams of a class are listed at a time: 18,000 heads of a camera, half a second
HEADS = 40_000  # listed in one look: about 1.5 s of one core of the engine
STEP_S = 0.8  # a look is a chore of the labeler, which must not wait: at 1,000 records a step 40 MB/s of a camera
UNSURE_S = 60.0  # while nobody says what the site has only the unselected goes: the hop may just be starting anew
AGAIN_S = 600.0  # what a scan has passed is looked at again: events select, proofs come, old records arrive
UNSELECTED_ONLY: dict[str, Any] = {"$not": [{"$has": "keep"}]}

Filmed = Callable[[str, int, int], Awaitable[frozenset[int]]]  # stream, [from, to) in µs -> times its videos hold


async def _nothing_filmed(stream: str, start_us: int, stop_us: int) -> frozenset[int]:
    return frozenset()


@dataclass(frozen=True, slots=True)
class KeeperOptions:
    """Bring in proof, time and disk; `sure_s` is how old a proof must be, since a killed site may forget the newest.

    `knows` tells whether `proven` can say anything now.
    """

    proven: FindProven = lambda bucket, stream, start_us, count: ()
    knows: Callable[[], bool] = lambda: True
    filmed: Filmed = _nothing_filmed
    touch: Touch = lambda cls, stream, time_us: None
    free_bytes: Callable[[], int] | None = None
    headroom_bytes: int = HEADROOM_BYTES
    settled_us: int = SETTLED_US
    sure_s: float = 900.0
    monotonic_s: Callable[[], float] = time.monotonic
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class _Pass:
    """Look for one rank among originals, or among small frames."""

    rank: Rank
    small: bool


PASSES = tuple(_Pass(rank, small) for rank in Rank for small in (False, True))
PASSES_UNSURE = tuple(one for one in PASSES if one.rank is Rank.UNSELECTED)


@dataclass(slots=True)
class _Scan:
    """Remember how far each pass has looked, in µs, and since when."""

    since_s: float
    at_us: dict[tuple[_Pass, str], int] = field(default_factory=dict)


class Keeper:
    """Watch a robot's disk and the age of its records. `look` is a chore of the labeler: see `removing`.

    `short_bytes` is what the disk lacks to its floor and headroom after the last look, 0 when all is well.
    """

    def __init__(
        self, door: Door, settings: RobotSettings, policy: Callable[[], Policy], options: KeeperOptions | None = None
    ) -> None:
        self._door, self._settings, self._policy = door, settings, policy
        self._options = options or KeeperOptions()
        self._disk = StoreDisk(settings.store, settings.store_data)
        note = settings.state / "retention.json"
        self.removing = Removing(door, settings.robot, note, self._options.touch, self._options.now_us)
        self._scan = _Scan(float("-inf"))
        self._aged_us: dict[tuple[str, str], int] = {}
        self._left, self._until_s = 0, float("inf")
        self._unsure_s: float | None = None  # since when nobody says what the site has
        self._said = False
        self._since_us, self._told = self._options.now_us(), Memory()
        self.short_bytes = 0

    async def look(self) -> int:
        """Remove what is too old, then what the disk needs; return how many records went."""
        at_s = self._options.monotonic_s()
        was_unsure_s, self._unsure_s = self._unsure_s, None
        if not self._options.knows():
            self._unsure_s = at_s if was_unsure_s is None else was_unsure_s
        if at_s - self._scan.since_s >= AGAIN_S or (was_unsure_s is not None and self._unsure_s is None):
            self._scan, self._aged_us = _Scan(at_s), {}
        self._left, self._until_s = HEADS, at_s + STEP_S
        gone = await self.removing.finish() + await self._expire()
        floor = self._settings.ring.leave_free
        free = self._free_bytes()
        self.short_bytes = max(0, floor + self._options.headroom_bytes - free)
        if self.short_bytes:
            gone += await self._make_room(self.short_bytes, max(0, floor - free))
        self._say(gone)
        self._remember(max(0, floor - self._free_bytes()))
        return gone

    def is_proven(self, cls: str, stream: str, minute_us: int) -> bool:
        """Tell whether the site holds a minute and has for long enough not to forget it in a crash."""
        ripe_us = self._options.now_us() - self._options.sure_s * 1e6
        found = self._options.proven(cls, stream, minute_us, 1)
        return any(minute.minute_us == minute_us and minute.since_us <= ripe_us for minute in found)

    def _free_bytes(self) -> int:
        if self._options.free_bytes is not None:
            return self._options.free_bytes()
        room = self._disk.room()
        return room.free if room is not None else free_bytes_of(self._settings.state)

    # -- room ---------------------------------------------------------------------------------------------------

    async def _make_room(self, near_bytes: int, below_bytes: int) -> int:
        """Free `near_bytes`; of what was asked for and is nowhere else only what the floor itself needs."""
        entries = {cls: await self._entries(cls) for cls in RING_CLASSES}
        freed = records = 0
        for one in PASSES if self._is_sure() else PASSES_UNSURE:
            need = (below_bytes if one.rank is Rank.UNDELIVERED else near_bytes) - freed
            if need <= 0:
                continue
            for cls in RING_CLASSES:
                chosen = [item for item in entries[cls] if (parent_of(item.name)[1] in SMALL) == one.small]
                async for some in self._candidates(one, cls, chosen):
                    picked = choose(some, need, one.rank)
                    went = await self.removing.remove(picked, REASONS[one.rank], self._is_over)
                    size = sum(item.size for item in went)
                    records, freed, need = records + len(went), freed + size, need - size
                    stayed = 0 < len(went) < len(picked)  # what did not go is tried at the next look
                    if need <= 0 or stayed or self._is_over():
                        break
                if need <= 0 or self._is_over():
                    break
            if self._is_over():
                break  # the next look goes on from here; the headroom bears that long
        return records

    async def _candidates(self, one: _Pass, cls: str, entries: Sequence[EntryInfo]) -> AsyncIterator[list[Worth]]:
        """Yield the records of a rank, slice after slice from the oldest on; what a slice still holds is next again."""
        if one.rank is Rank.FILMED:
            films = {parent_of(item.name)[0] for item in entries if parent_of(item.name)[1] == VIDEO}
            entries = [item for item in entries if item.name in films]
        if not entries:
            return
        until_us = min(max(item.latest_us for item in entries) + 1, self._options.now_us() - self._options.settled_us)
        at_us = max(self._scan.at_us.get((one, cls), 0), min(item.oldest_us for item in entries))
        while at_us < until_us and not self._is_over():
            stop_us = min(at_us - at_us % MINUTE_US + SLICE_US, until_us)
            self._scan.at_us[one, cls] = at_us
            if found := await self._list(one, cls, entries, at_us, stop_us):
                yield found
            at_us = stop_us
            ahead = [item.oldest_us for item in entries if item.latest_us >= at_us]
            at_us = max(at_us, min(ahead, default=at_us))
        self._scan.at_us[one, cls] = at_us

    async def _list(
        self, one: _Pass, cls: str, entries: Sequence[EntryInfo], start_us: int, stop_us: int
    ) -> list[Worth]:
        names = [item.name for item in entries if item.oldest_us < stop_us and item.latest_us >= start_us]
        if not names:
            return []
        when = UNSELECTED_ONLY if one.rank is Rank.UNSELECTED else None
        heads = [head async for head in self._heads(cls, names, start_us, stop_us, when)]
        self._left -= len(heads) + 1
        filmed: dict[str, frozenset[int]] = {}
        if one.rank is Rank.FILMED:
            filmed = {name: await self._options.filmed(name, start_us, stop_us) for name in {h.entry for h in heads}}
        worths = self._worths(cls, heads, filmed)
        return [worth for worth in worths if rank_of(worth) is one.rank]

    def _worths(self, cls: str, heads: Sequence[Head], filmed: dict[str, frozenset[int]]) -> list[Worth]:
        sure: dict[tuple[str, int], bool] = {}
        policy, found = self._policy(), []
        for head in heads:
            plain = worth_of(cls, head)
            key = (plain.stream, plain.minute_us)
            if plain.selected and key not in sure:
                sure[key] = self.is_proven(cls, *key)
            is_filmed = head.time_us in filmed.get(head.entry, ())
            worth = worth_of(cls, head, plain.selected and sure[key], is_filmed)
            waits = policy.rule_for(head.entry).at is not None and parent_of(head.entry)[1] != VIDEO
            found.append(replace(worth, selected=True) if waits else worth)  # it is to travel, if not yet
        return found

    def _is_sure(self) -> bool:
        """Tell whether what is not proven counts as undelivered: the floor must hold also where no hop ever runs."""
        return self._unsure_s is None or self._options.monotonic_s() - self._unsure_s >= UNSURE_S

    def _is_over(self) -> bool:
        """Tell whether this look has listed or lasted long enough."""
        return self._left <= 0 or self._options.monotonic_s() > self._until_s

    # -- age ----------------------------------------------------------------------------------------------------

    async def _expire(self) -> int:
        """Remove what nobody selected and is older than its stream's rule keeps."""
        policy, now_us, gone = self._policy(), self._options.now_us(), 0
        if not any(rule.retention is not None for rule in policy.stream.values()):
            return 0
        for cls in RING_CLASSES:
            for item in await self._entries(cls):
                retention_us = policy.rule_for(item.name).retention
                waits = policy.rule_for(item.name).at is not None  # to travel later, and not labelled yet
                if retention_us is None or waits or self._is_over():
                    continue
                start_us = max(item.oldest_us, self._aged_us.get((cls, item.name), 0))
                stop_us = min(start_us + 6 * SLICE_US, now_us - retention_us)
                if start_us >= stop_us:
                    continue
                heads = [h async for h in self._heads(cls, [item.name], start_us, stop_us, UNSELECTED_ONLY)]
                self._left -= len(heads) + 1
                old = [one for one in self._worths(cls, heads, {}) if is_expired(one, now_us, retention_us)]
                went = await self.removing.remove(old, TOO_OLD, self._is_over)
                gone += len(went)
                if len(went) == len(old):
                    self._aged_us[cls, item.name] = stop_us
        return gone

    # -- the store ----------------------------------------------------------------------------------------------

    async def _entries(self, cls: str) -> list[EntryInfo]:
        try:
            return [item for item in await self._door.store.entries(cls) if item.records and "$" not in item.name]
        except NotFound:
            return []

    async def _heads(
        self, cls: str, names: Sequence[str], start_us: int, stop_us: int, when: dict[str, Any] | None
    ) -> AsyncIterator[Head]:
        wanted = frozenset(names)
        try:
            query = self._door.store.query(cls, names, start_us=start_us, stop_us=stop_us, when=when, head=True)
            async for head in query:
                if head.entry in wanted:
                    yield head
        except NotFound:
            return

    def _remember(self, below_bytes: int) -> None:
        """Write down how the disk stands, for `doctor`; on a full disk what was written before has to do."""
        removing = self.removing
        found = Memory(
            self._options.now_us(), self._since_us, below_bytes, self.short_bytes,
            dict(removing.gone), dict(removing.gone_bytes),
        )  # fmt: skip
        if not found.is_news(self._told):
            return
        with suppress(OSError):
            write_memory(self._settings.state, found)
            self._told = found

    def _say(self, gone: int) -> None:
        """Say once that the disk nears its floor, and once that it has room again."""
        near = self.short_bytes > 0
        if near and not self._said:
            log.warning(
                "the disk nears its floor: the least valuable records go first",
                robot=self._settings.robot, short_bytes=self.short_bytes, records=gone,
                next="see `ring.leave_free` in robot.toml and `retention` in the policy",
            )  # fmt: skip
        elif self._said and not near:
            log.info("the disk has room again", robot=self._settings.robot)
        self._said = near


def worth_of(cls: str, head: Head, proven: bool = False, filmed: bool = False) -> Worth:
    """Return what a record's head says of its value."""
    last = head.labels.get("t_end", "")
    end_us = max(head.time_us, int(last)) if last.isascii() and last.isdigit() else head.time_us
    return Worth(cls, head.entry, head.time_us, end_us, head.size, "keep" in head.labels, proven, filmed)
