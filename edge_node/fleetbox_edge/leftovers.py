"""Find the spools of dead processes of this robot and see each of them through into the store."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import aiofiles
import aiofiles.os
import structlog

from fleetbox.errors import FleetboxError, NotFound
from fleetbox.ledger import Drop
from fleetbox.naming import Class
from fleetbox_edge.drops import SUFFIX, read_drops
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.ports import Door
from fleetbox_edge.pruning import Pruner
from fleetbox_edge.replay import Rebuilder
from fleetbox_edge.session import Session
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST
from fleetbox_edge.spool.spool import lock_folder, spool_folders
from fleetbox_edge.spooled import Index, Key, read_index
from fleetbox_edge.suspects import Suspect, Suspects

log = structlog.get_logger()

AHEAD_BYTES = 32_000_000  # what is read from a spool before the store has it: memory stays bounded
POLL_S = 0.05
AGAIN_S = 1.0  # a store that does not answer now is asked again what it has
STALE_S = 60.0  # making a spool folder takes milliseconds: an older one without its name was never finished


@dataclass(slots=True)
class _Fed:
    """Remember what was handed to the writer of one class of a folder, and what was met on the way."""

    suspects: Suspects
    parcels: list[Parcel] = field(default_factory=list)


class Leftovers:
    """Replay every spool folder of this robot whose process is gone, oldest first.

    `replayed` counts rows and blobs handed to the writer, `damaged` the places that could not be read.
    """

    def __init__(self, session: Session, door: Door) -> None:
        self.replayed = 0
        self.damaged = 0
        self._session, self._door = session, door
        self._root = session.spool.folder.parent
        self._pruner = Pruner(session)
        self._unreadable: set[Path] = set()  # folders that the disk would not give back
        self._waiting: dict[Path, int] = {}  # folders that nobody has begun to read, and their locks
        self._reading = asyncio.Lock()
        self._ahead: list[Parcel] = []
        self._ahead_bytes = 0

    async def run(self) -> None:
        """Replay what there is now; returns when the store has it all and the folders are gone.

        Raises OSError when a folder could not be read; the others are done then, and it is left alone from now on.
        """
        self._waiting = {folder: fd for folder in self._dead() if (fd := lock_folder(folder)) is not None}
        failed: list[OSError] = []
        try:
            async with asyncio.TaskGroup() as group:
                for folder in self._waiting:
                    group.create_task(self._see_through(folder, failed))
        finally:
            for fd in self._waiting.values():
                os.close(fd)
        if failed:
            raise failed[0]

    async def _see_through(self, folder: Path, failed: list[OSError]) -> None:
        """Read a folder when it is its turn; what waits for the store, or to be healed there, holds up no other."""
        async with self._reading:
            await asyncio.to_thread(self._pruner.prune, list(self._waiting))  # a crash loop fills no disk
            fd = self._waiting.pop(folder)
            try:
                drops = await self._drops(folder)
                fed = [await self._feed(folder, cls, drops) for cls in reversed(LEAST_VALUABLE_FIRST)]
            except OSError as error:
                self._unreadable.add(folder)
                failed.append(error)
                os.close(fd)
                return
        try:
            await self._finish(folder, fed, drops)
        except OSError as error:
            self._unreadable.add(folder)
            failed.append(error)
        finally:
            os.close(fd)

    def _dead(self) -> list[Path]:
        """Return the folders that may be a dead process's; remove those that were never finished."""
        for path in self._root.glob(".*"):
            if path.is_dir() and time.time() - path.stat().st_mtime > STALE_S:
                shutil.rmtree(path, ignore_errors=True)
        skipped = {self._session.spool.folder, *self._unreadable}
        return [folder for folder in spool_folders(self._root) if folder not in skipped]

    async def _finish(self, folder: Path, fed: list[_Fed], drops: list[tuple[Drop, bool]]) -> None:
        """Wait for the store, name what was lost, and remove the folder."""
        for part in fed:
            await _settled(part.parcels)
            for place in part.suspects.places:
                self.damaged += 1
                log.warning("part of a spool cannot be read", where=str(place), cls=part.suspects.cls)
            for suspect in part.suspects.found():
                await self._judge(suspect)
        with self._session.lock:
            self._session.outbox.drops.adopt(drop for drop, told in drops if not told)
        await asyncio.to_thread(shutil.rmtree, folder)

    async def _feed(self, folder: Path, cls: str, drops: list[tuple[Drop, bool]]) -> _Fed:
        """Hand a class's records to the writer; events and logs come first: small, and worth most."""
        paths = await _files(folder, f"{cls}-*.seg")
        index = Index()
        for path in paths:
            await asyncio.to_thread(read_index, index, cls, await _read(path))
        dropped: dict[Key, Numbers] = {}
        for drop, _ in drops:
            dropped.setdefault((drop.session, drop.stream), Numbers()).add(drop.first, drop.first + drop.rows)
        fed = _Fed(Suspects(index, cls, dropped))
        rebuilder = Rebuilder(index, cls, self._session.bound_us, fed.suspects)
        for path in paths:
            await self._put(fed, await asyncio.to_thread(_records, rebuilder, path, await _read(path)))
        await self._put(fed, list(rebuilder.finish()))
        return fed

    async def _drops(self, folder: Path) -> list[tuple[Drop, bool]]:
        return [item for path in await _files(folder, f"*{SUFFIX}") for item in read_drops(await _read(path))]

    async def _put(self, fed: _Fed, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            parcel.again = True
            if self._ahead_bytes > AHEAD_BYTES:
                await self._catch_up()
            with self._session.lock:
                self._session.outbox.put(parcel)
            self.replayed += parcel.count
            self._ahead_bytes += parcel.size
            self._ahead.append(parcel)
            fed.parcels.append(parcel)

    async def _catch_up(self) -> None:
        """Wait until the store has half of what was read."""
        while True:
            self._ahead = [left for parcel in self._ahead if (left := parcel.unsettled())]
            self._ahead_bytes = sum(parcel.size for parcel in self._ahead)
            if self._ahead_bytes < AHEAD_BYTES // 2:
                return
            await asyncio.sleep(POLL_S)

    async def _judge(self, suspect: Suspect) -> None:
        """Count what neither the spool nor the store has as dropped, by its numbers."""
        left = suspect.numbers.without(await self._stored(suspect))
        for first, end in left:
            log.error(
                "records were lost in the spool", stream=suspect.stream, session=suspect.session, first=first,
                rows=end - first, why=suspect.reason, where=str(suspect.place),
            )  # fmt: skip
            drop = Drop(
                cast("Class", suspect.cls), suspect.stream, suspect.session, first, end - first, suspect.reason,
                suspect.start_us,
            )  # fmt: skip
            with self._session.lock:
                self._session.outbox.drops.note(drop)

    async def _stored(self, suspect: Suspect) -> Numbers:
        """Return which numbers of the session the store has around the suspect's time; asks until it answers."""
        margin_us = self._session.bound_us
        while True:
            found = Numbers()
            try:
                async for head in self._door.store.query(
                    suspect.cls, (suspect.stream,), head=True,
                    start_us=max(0, suspect.start_us - margin_us), stop_us=suspect.stop_us + margin_us,
                ):  # fmt: skip
                    if head.labels.get("session") == suspect.session:
                        seq = int(head.labels.get("seq", "0"))
                        found.add(seq, seq + max(1, int(head.labels.get("rows", "0"))))
                return found
            except NotFound:
                return found
            except FleetboxError:
                await asyncio.sleep(AGAIN_S)


async def _settled(parcels: Iterable[Parcel]) -> None:
    """Wait until the store has them all, or they are counted as lost."""
    left = [parcel for parcel in parcels if parcel.unsettled()]
    while left:
        await asyncio.sleep(POLL_S)
        left = [parcel for parcel in left if parcel.unsettled()]


async def _files(folder: Path, glob: str) -> list[Path]:
    return await asyncio.to_thread(lambda: sorted(folder.glob(glob)))


async def _read(path: Path) -> bytes:
    """Return a file's bytes, none for one that had to be given up."""
    try:
        async with aiofiles.open(path, "rb") as file:
            return await file.read()
    except FileNotFoundError:
        return b""


def _records(rebuilder: Rebuilder, path: Path, data: bytes) -> list[Parcel]:
    return list(rebuilder.feed(path, data))
