"""Let one process at a time write to a bucket, by lock files: the kernel gives back what a killed one held."""

from __future__ import annotations

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from fleetbox.errors import Unreachable

POLL_S = 0.002  # a batch takes 5 to 50 ms
LONGEST_S = 60.0  # a healthy holder is through in milliseconds; one that was stopped may never be
SHARE_S = 0.5  # tasks of one process go through together; after this long another process has its turn


class Turnstile:
    """Hold one bucket's lock while any task of this process writes there; use it from one event loop.

    Two files: whoever waits for `turn` holds `next`, so that the process that just had its turn cannot slip in again.
    """

    def __init__(self, folder: Path, name: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._name, self._monotonic_s = folder, name, monotonic_s
        self._fd = -1
        self._inside = 0
        self._since_s = 0.0
        self._door = asyncio.Lock()
        self._empty = asyncio.Event()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Hold the turn; raises Unreachable when another process does not give it back."""
        async with self._door:
            if self._inside and self._monotonic_s() - self._since_s > SHARE_S:
                await self._empty.wait()
            if not self._inside:
                self._fd = await self._take()
                self._since_s = self._monotonic_s()
                self._empty.clear()
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            if not self._inside:
                _give_back(self._fd)
                self._empty.set()

    async def _take(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        waiting = await self._lock(self._folder / f"{self._name}.next")
        try:
            return await self._lock(self._folder / f"{self._name}.turn")
        finally:
            _give_back(waiting)

    async def _lock(self, path: Path) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        until_s = self._monotonic_s() + LONGEST_S
        try:
            while True:
                try:
                    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return fd
                except BlockingIOError:
                    if self._monotonic_s() > until_s:
                        raise Unreachable(
                            f"bucket {self._name} cannot be written: another process has held {path} for "
                            f"{LONGEST_S:g} s",
                            f"look for a stopped process: fuser {path}",
                        ) from None
                await asyncio.sleep(POLL_S)
        except BaseException:
            os.close(fd)
            raise


def _give_back(fd: int) -> None:
    """Unlock, then close: a forked child's copy of the descriptor must not keep the turn."""
    fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)
