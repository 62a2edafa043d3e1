"""Bring a stick into a site's store: same stamps, same labels, each record once, and a note of what came by hand."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.carried import Carried as Note
from fleetbox.carried import write_carried
from fleetbox.errors import InputError, NotFound
from fleetbox.ledger import STREAM as LEDGER
from fleetbox.ledger import Key, minute_of
from fleetbox.naming import RING_CLASSES, Class, check_robot
from fleetbox.orders import writer_here
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.carrying.frames import Attached, Carried, Frame, Spoilt, Torn, frames
from fleetbox_edge.carrying.stick import FOLDER, open_parts, read_manifest, whole_parts
from fleetbox_edge.ingest.run import KEPT_BYTES
from fleetbox_edge.schemas import KEY, grown
from fleetbox_replication.taking import wants

BATCH_BYTES = 4_000_000  # half of what the engine takes at once
BATCH_RECORDS = 80  # what the engine takes at once
TORN_WAIT_S = 90.0  # a half-written record of an ingest that was cut off is healed after the port's 60 s
TORN_POLL_S = 5.0
HEARD_US = 150_000_000  # µs; a robot at work writes a page a minute, which takes its time on a bad link
NAMED = 20  # troubles named one by one; the rest is counted

Advance = Callable[[float], None]  # told the bytes done


@dataclass(slots=True)
class Landed:
    """Count what became of one robot's records: written, there already, not for this site, or failed.

    `torn` names the parts that could not be read to their end, `unfinished` says that the carry was cut off,
    `link_up` that the robot was being heard of, and may have been writing here as well.
    """

    robot: str
    place: str
    records: int = 0
    written: int = 0
    already: int = 0
    not_for_here: int = 0
    failed_count: int = 0
    failed: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    unfinished: bool = False
    link_up: bool = False

    @property
    def complete(self) -> bool:
        """Tell whether all that the robot wanted to be carried is here."""
        return not (self.failed_count or self.torn or self.unfinished)

    def fail(self, why: str, count: int = 1) -> None:
        """Count records that did not come here, and name the first of them."""
        self.failed_count += count
        if len(self.failed) < NAMED:
            self.failed.append(why)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "robot": self.robot, "place": self.place, "records": self.records, "written": self.written,
            "already": self.already, "not_for_here": self.not_for_here, "failed_count": self.failed_count,
            "failed": self.failed, "torn": self.torn, "unfinished": self.unfinished, "link_up": self.link_up,
            "complete": self.complete,
        }  # fmt: skip


def folders_on(path: Path) -> list[Path]:
    """Return the folders of robots on a stick; raises InputError for what is no stick.

    path: where the stick is mounted, its folder `fleetbox`, or one robot's folder in there.
    """
    candidates = [path, *path.glob("*"), *path.glob(f"{FOLDER}/*")]
    found = [folder for folder in candidates if folder.is_dir() and (whole_parts(folder) or open_parts(folder))]
    if not found:
        raise InputError(f"{path} holds no records that `fleetbox carry` brought", "give the folder of the stick")
    return sorted({check_robot(folder.name): folder for folder in found}.values())


def size_of(folder: Path) -> int:
    """Return the bytes of one robot's parts."""
    return sum(path.stat().st_size for path in (*whole_parts(folder), *open_parts(folder)))


async def land(
    folder: Path,
    fleet: FleetSettings,
    place: Place,
    advance: Advance = lambda done: None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Landed:
    """Bring one robot's folder into `<robot>--<class>` at a site. Safe to repeat: a second time adds nothing.

    Raises Unreachable, AccessDenied.
    """
    robot = check_robot(folder.name)
    report = Landed(robot, place.name, unfinished=read_manifest(folder) is None or bool(open_parts(folder)))
    async with Store.at(place) as store:
        landing = _Landing(store, place, report, _passes(fleet, robot, place))
        report.link_up = await _is_heard(store, place.bucket(robot, "meta"))
        done_bytes = 0
        for path in (*whole_parts(folder), *open_parts(folder)):
            for frame in _read(path, report):
                await landing.take(frame)
                done_bytes += len(frame.data) if not isinstance(frame, Spoilt) else 0
                advance(done_bytes)
            await landing.note()
        await landing.finish(sleep)
    return report


async def _is_heard(store: Store, bucket: str) -> bool:
    """Tell whether the robot's own pages still arrive: then its relay may be writing to the same entries."""
    try:
        newest_us = max((info.latest_us for info in await store.entries(bucket) if info.name == LEDGER), default=0)
    except NotFound:
        return False
    return newest_us > time.time_ns() // 1000 - HEARD_US


def _read(path: Path, report: Landed) -> Iterator[Carried | Attached]:
    """Yield what can be read of a part; note where it cannot."""
    with path.open("rb") as file:
        try:
            for frame in frames(file):
                if isinstance(frame, Spoilt):
                    report.torn.append(f"{path.name}: a checksum differs at byte {frame.at_byte:,}")
                elif isinstance(frame, Carried | Attached):
                    yield frame
        except (Torn, OSError) as error:
            report.torn.append(f"{path.name}: {error}")


def _passes(fleet: FleetSettings, robot: str, place: Place) -> Callable[[Carried], bool]:
    """Return what may come to this site: beyond the first of a robot's route only what goes on from there."""
    try:
        sites = [site.name for site in fleet.route(robot) if site.tier != "robot"]
    except NotFound:
        sites = []
    at = sites.index(place.name) if place.name in sites else 0
    skip = [glob for name in sites[1 : at + 1] for glob in fleet.policy.hop_rule(name).skip]

    def passes(record: Carried) -> bool:
        if record.cls not in RING_CLASSES or at == 0:
            return True
        return record.labels.get("keep") == "1" and not wants(skip, record.stream)

    return passes


class _Landing:
    """Write frames in batches, each of one stream's minute: what the store says of it is what came in that minute."""

    def __init__(self, store: Store, place: Place, report: Landed, passes: Callable[[Carried], bool]) -> None:
        self._store, self._place, self._report, self._passes = store, place, report, passes
        self._ready: set[Class] = set()
        self._key: Key | None = None
        self._batch: list[Draft] = []
        self._bytes = 0
        self._torn: list[tuple[Key, Draft]] = []
        self._by_hand: Counter[Key] = Counter()

    async def take(self, frame: Frame | Spoilt) -> None:
        """Take one frame of a part."""
        if isinstance(frame, Attached):
            await self._attach(frame)
        elif isinstance(frame, Carried):
            self._report.records += 1
            if not self._passes(frame):
                self._report.not_for_here += 1
                return
            key = (frame.cls, frame.stream, minute_of(frame.time_us))
            full = len(self._batch) >= BATCH_RECORDS or self._bytes + len(frame.data) > BATCH_BYTES
            if key != self._key or full:
                await self._flush()
            self._key, self._bytes = key, self._bytes + len(frame.data)
            self._batch.append(Draft(frame.stream, frame.time_us, frame.data, frame.labels, frame.content_type))

    async def note(self) -> None:
        """Write what is left, and note what came by hand since the last time."""
        await self._flush()
        if self._by_hand:
            now_us, robot = time.time_ns() // 1000, self._report.robot
            note = Note(self._place.name, robot, now_us, writer_here(), dict(self._by_hand))
            await write_carried(self._store, await self._bucket("meta"), note)
            self._by_hand.clear()

    async def finish(self, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Wait for records that an ingest before this one left half-written."""
        until_s = time.monotonic() + TORN_WAIT_S
        while self._torn and time.monotonic() < until_s:
            await sleep(TORN_POLL_S)
            again, self._torn = self._torn, []
            for key, draft in again:
                await self._write(key, [draft])
        for _, draft in self._torn:
            self._report.fail(f"{draft.entry} at {draft.time_us}: half-written before and not healed in time")
        await self.note()

    async def _flush(self) -> None:
        key, batch, self._key, self._batch, self._bytes = self._key, self._batch, None, [], 0
        if key is not None:
            await self._write(key, batch)

    async def _write(self, key: Key, batch: list[Draft]) -> None:
        bucket, report = await self._bucket(key[0]), self._report
        done = await self._store.write(bucket, batch)
        report.already += done.already
        fresh = done.written + done.healed
        for draft, status, message in done.refused:
            if status == 425:
                self._torn.append((key, draft))
            else:
                report.fail(f"{draft.entry} at {draft.time_us}: the store says {status} {message}")
        refused = {draft.time_us for draft, _, _ in done.refused}
        lost = await self._unreadable(bucket, [one for one in batch if one.time_us not in refused]) if fresh else []
        for draft in lost:
            report.fail(f"{draft.entry} at {draft.time_us}: not readable at {self._place.name} after it was written")
        report.written += max(0, fresh - len(lost))
        if fresh > len(lost):
            self._by_hand[key] += fresh - len(lost)

    async def _unreadable(self, bucket: str, batch: list[Draft]) -> list[Draft]:
        """Return what cannot be read back: a ring that is full takes the oldest first, and two writers spoil."""
        if not batch:
            return []
        start_us, stop_us = batch[0].time_us, batch[-1].time_us + 1
        wanted = {draft.time_us: draft for draft in batch}
        async for record in self._store.query(bucket, (batch[0].entry,), start_us=start_us, stop_us=stop_us):
            if record.time_us in wanted and record.data == wanted[record.time_us].data:
                del wanted[record.time_us]
        return list(wanted.values())

    async def _attach(self, frame: Attached) -> None:
        """Describe a stream as its robot does, unless the site knows more."""
        try:
            value = json.loads(frame.data)
        except ValueError:
            return
        bucket = await self._bucket(frame.cls)
        held = await self._store.attachments(bucket, frame.stream)
        if frame.key == KEY and KEY in held and "type" in value:
            value = grown(held[KEY], value)
        if frame.key == KEY or frame.key not in held:
            await self._store.write_attachment(bucket, frame.stream, frame.key, value)

    async def _bucket(self, cls: Class) -> str:
        """Return the bucket of a class, which `fleetbox site run` would have made."""
        name = self._place.bucket(self._report.robot, cls)
        if cls not in self._ready:
            if await self._store.bucket_spec(name) is None:
                quota = self._place.quota.get(cls) or (KEPT_BYTES if cls == "kept" else None)
                await self._store.ensure_bucket(name, bucket_spec(cls, quota))
            self._ready.add(cls)
        return name
