"""Find the spools of dead processes of this robot and see each of them through into the store."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import aiofiles
import aiofiles.os

from fleetbox_edge.outbox import Outbox
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.replay import Index, Rebuilder, read_index
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST, Damage
from fleetbox_edge.spool.spool import lock_folder

AHEAD_BYTES = 32_000_000  # what is read from a spool before the store has it: memory stays bounded
POLL_S = 0.05


@dataclass(slots=True)
class Leftovers:
    """Replay every spool folder under `root` whose process is gone, oldest first.

    `replayed` counts rows and blobs handed to the writer, `damage` the frames that could not be read.
    """

    root: Path
    own: Path
    outbox: Outbox
    lock: threading.RLock
    bound_us: int
    max_bytes: int
    replayed: int = 0
    folders: int = 0
    damage: Damage = field(default_factory=Damage)

    async def run(self) -> None:
        """Replay what there is now; returns when the store has it all and the folders are gone."""
        for folder in sorted(path for path in self.root.iterdir() if path.is_dir() and path != self.own):
            fd = lock_folder(folder)
            if fd is None:
                continue
            try:
                self.folders += 1
                await self._replay(folder)
            finally:
                os.close(fd)

    async def _replay(self, folder: Path) -> None:
        numbers: list[Parcel] = []
        paths = await self._pruned(folder)
        for cls in reversed(LEAST_VALUABLE_FIRST):  # events and logs first: small, and worth most
            mine = [path for path in paths if path.name.startswith(f"{cls}-")]
            index = Index()
            for path in mine:
                await asyncio.to_thread(read_index, index, cls, await _read(path))
            rebuilder = Rebuilder(index, cls, self.bound_us, self.damage)
            for path in mine:
                data = await _read(path)
                await self._put(numbers, await asyncio.to_thread(_records, rebuilder, data))
            await self._put(numbers, list(rebuilder.finish()))
        while any(parcel.state not in ("done", "lost") for parcel in numbers):
            numbers = [parcel for parcel in numbers if parcel.state not in ("done", "lost")]
            await asyncio.sleep(POLL_S)
        for name in await aiofiles.os.listdir(folder):
            await aiofiles.os.remove(folder / name)
        await aiofiles.os.rmdir(folder)

    async def _put(self, numbers: list[Parcel], parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            while sum(old.size for old in numbers if old.state not in ("done", "lost")) > AHEAD_BYTES:
                numbers[:] = [old for old in numbers if old.state not in ("done", "lost")]
                await asyncio.sleep(POLL_S)
            with self.lock:
                self.outbox.put(parcel)
            self.replayed += parcel.count
            numbers.append(parcel)

    async def _pruned(self, folder: Path) -> list[Path]:
        """Return the folder's segments, oldest first, less what goes beyond the bound: a crash loop fills no disk."""
        names = await aiofiles.os.listdir(folder)
        paths = [folder / name for name in sorted(names) if name.endswith(".seg")]
        size = sum(path.stat().st_size for path in paths)
        for cls in LEAST_VALUABLE_FIRST:
            for path in [path for path in paths if path.name.startswith(f"{cls}-")]:
                if size <= self.max_bytes:
                    return paths
                index = Index()
                size -= path.stat().st_size
                await asyncio.to_thread(read_index, index, cls, await _read(path))
                with self.lock:
                    self.outbox.lost["spool full"] += index.rows
                paths.remove(path)
                await aiofiles.os.remove(path)
        return paths


async def _read(path: Path) -> bytes:
    async with aiofiles.open(path, "rb") as file:
        return await file.read()


def _records(rebuilder: Rebuilder, data: bytes) -> list[Parcel]:
    return list(rebuilder.feed(data))
