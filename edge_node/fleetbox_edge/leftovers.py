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
from fleetbox_edge.spool.spool import lock_folder, spool_folders

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
    damage: Damage = field(default_factory=Damage)
    _ahead: list[Parcel] = field(default_factory=list)
    _ahead_bytes: int = 0

    async def run(self) -> None:
        """Replay what there is now; returns when the store has it all and the folders are gone."""
        for folder in spool_folders(self.root):
            fd = lock_folder(folder) if folder != self.own else None
            if fd is None:
                continue
            try:
                await self._replay(folder)
            finally:
                os.close(fd)

    async def _replay(self, folder: Path) -> None:
        paths = await self._pruned(folder)
        for cls in reversed(LEAST_VALUABLE_FIRST):  # events and logs first: small, and worth most
            mine = [path for path in paths if path.name.startswith(f"{cls}-")]
            index = Index()
            for path in mine:
                await asyncio.to_thread(read_index, index, cls, await _read(path))
            rebuilder = Rebuilder(index, cls, self.bound_us, self.damage)
            for path in mine:
                await self._put(await asyncio.to_thread(_records, rebuilder, await _read(path)))
            await self._put(list(rebuilder.finish()))
        await self._settled(0)
        for name in await aiofiles.os.listdir(folder):
            await aiofiles.os.remove(folder / name)
        await aiofiles.os.rmdir(folder)

    async def _put(self, parcels: Iterable[Parcel]) -> None:
        for parcel in parcels:
            if self._ahead_bytes > AHEAD_BYTES:
                await self._settled(AHEAD_BYTES // 2)
            with self.lock:
                self.outbox.put(parcel)
            self.replayed += parcel.count
            self._ahead_bytes += parcel.size
            self._ahead.append(parcel)

    async def _settled(self, most_bytes: int) -> None:
        """Wait until the store has all but so many bytes of what was read."""
        while True:
            self._ahead = [left for parcel in self._ahead if (left := parcel.unsettled())]
            self._ahead_bytes = sum(parcel.size for parcel in self._ahead)
            if not self._ahead or self._ahead_bytes < most_bytes:
                return
            await asyncio.sleep(POLL_S)

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
