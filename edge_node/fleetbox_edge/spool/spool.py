"""Hold one process's spool: a chain of segments per class, bounded in bytes and by the disk's floor."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from fleetbox_edge.spool.frames import HEADER
from fleetbox_edge.spool.heads import head_bytes
from fleetbox_edge.spool.segments import Segment

LEAST_VALUABLE_FIRST = ("media", "small", "sensor", "log", "meta")  # one frame weighs as much as minutes of scalars
LINGER_S = 5.0  # the engine syncs 160 files a second: a robot of 30 streams within one
_KEEP_BOUND = 4_096  # bytes: a shape's two copies and a seal go along with a small frame


class SpoolFull(Exception):
    """Say that no room could be made; `reason` names the drop in the statistics."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound a spool, in bytes, and say which classes' segments stay for a while when the store has them."""

    max_bytes: int = 2_000_000_000  # minutes of a camera, days of scalars
    leave_free_bytes: int = 0  # the disk floor
    segment_bytes: int = 8 << 20  # one of the largest records; a quarter of a second of a fast camera
    lingering: frozenset[str] = frozenset()  # classes to outlive a power cut: the store itself syncs a little later

    @property
    def usual_segment_bytes(self) -> int:
        """Return a segment's size such that a small spool still has several to turn over."""
        return max(64 << 10, min(self.segment_bytes, self.max_bytes // 16))


class Spool:
    """Append frames per class; make room by dropping the least valuable and oldest segment first.

    Not thread-safe: the session's lock guards it. `on_drop(cls, segment, reason)` is told before a
    segment that still held something is given up.
    """

    def __init__(
        self,
        folder: Path,
        limits: Limits,
        on_drop: Callable[[str, Segment, str], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lock_fd = _make_locked(folder)
        self.folder = folder
        self.limits = limits
        self.bytes = 0
        self.garbage: deque[Segment] = deque()  # given up or done; the agent removes the files
        self._on_drop = on_drop
        self._monotonic_s = monotonic_s
        self._chains: dict[str, deque[Segment]] = {cls: deque() for cls in LEAST_VALUABLE_FIRST}
        self._spares: dict[str, Segment] = {}
        self._made = 0

    def reserve(self, cls: str, payload_bytes: int) -> Segment:
        """Return the class's current segment with room for a frame of that size, or raise SpoolFull."""
        need = payload_bytes + HEADER.size
        chain = self._chains[cls]
        if chain and not chain[-1].closed and chain[-1].has_room(need):
            return chain[-1]
        if chain:
            chain[-1].close()
            self.sweep(cls)
        chain.append(self._spare(cls, need) or self._create(cls, need))
        return chain[-1]

    def note(self, cls: str, payload: bytes) -> None:
        """Append what saves work at a replay, if there is room: nothing is given up for it."""
        chain = self._chains[cls]
        if chain and not chain[-1].closed and chain[-1].has_room(len(payload) + HEADER.size):
            chain[-1].append(payload)

    def sweep(self, cls: str) -> None:
        """Give up segments the store has in full, oldest first: a seal must outlive the rows it closes."""
        chain = self._chains[cls]
        while chain and chain[0].closed and chain[0].idle and not self._lingers(cls, chain[0]):
            self._discard(chain.popleft())

    def due_spare(self) -> tuple[str, Path, int] | None:
        """Return (class, path, bytes) of a segment to make ahead, so that no caller waits for it."""
        size = self.limits.usual_segment_bytes
        for cls, chain in self._chains.items():
            half = chain and not chain[-1].closed and chain[-1].offset * 2 > chain[-1].size
            if half and cls not in self._spares and self._fault(size) is None:
                return cls, self._next_path(cls), size
        return None

    def add_spare(self, cls: str, segment: Segment) -> None:
        """Take a segment made ahead."""
        self.bytes += segment.size
        if cls in self._spares:
            self._discard(segment)
        else:
            self._spares[cls] = segment

    def live(self) -> list[Segment]:
        """Return every segment that holds something."""
        return [segment for chain in self._chains.values() for segment in chain]

    def unsynced(self, cls: str) -> list[Segment]:
        """Return the segments of a class that the disk may not have as they are."""
        return [segment for segment in self._chains[cls] if segment.synced < segment.offset]

    def close(self) -> bool:
        """Let go of all files; return whether the folder holds nothing any more."""
        self.limits = replace(self.limits, lingering=frozenset())
        for spare in self._spares.values():
            self._discard(spare)
        self._spares.clear()
        for cls, chain in self._chains.items():
            for segment in chain:
                segment.close()
            self.sweep(cls)
            for segment in chain:
                segment.release()
        return not any(self._chains.values())

    def has_company(self, cls: str) -> bool:
        """Tell whether other processes of this robot, alive or dead, have something of a class in their spools."""
        try:
            others = [folder for folder in spool_folders(self.folder.parent) if folder != self.folder]
            return any(path.name.startswith(f"{cls}-") for folder in others for path in folder.iterdir())
        except OSError:  # one is just being removed
            return True

    def unlock(self) -> None:
        """Let another process take the folder over."""
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    def _lingers(self, cls: str, segment: Segment) -> bool:
        """Tell whether a segment that is done stays: a power cut may still take from the store what it has said to."""
        if cls not in self.limits.lingering:
            return False
        now_s = self._monotonic_s()
        segment.idle_since_s = now_s if segment.idle_since_s is None else segment.idle_since_s
        return now_s - segment.idle_since_s < LINGER_S

    def _spare(self, cls: str, need: int) -> Segment | None:
        spare = self._spares.get(cls)
        if spare is None or not spare.has_room(need):
            return None
        return self._spares.pop(cls)

    def _create(self, cls: str, need: int) -> Segment:
        size = max(self.limits.usual_segment_bytes, head_bytes() + need + _KEEP_BOUND)
        self._make_room(cls, size)
        return self._open(cls, size)

    def _open(self, cls: str, size: int) -> Segment:
        try:
            segment = Segment(self._next_path(cls), size)
        except OSError as error:
            raise SpoolFull(_reason(error)) from error
        self.bytes += size
        return segment

    def _next_path(self, cls: str) -> Path:
        self._made += 1
        return self.folder / f"{cls}-{self._made:08d}.seg"

    def _make_room(self, cls: str, size: int) -> None:
        fault = self._fault(size)
        if fault is not None and self._fault(size - self._droppable_bytes(cls)) is not None:
            raise SpoolFull(fault)  # giving up everything would not be enough: somebody else fills the disk
        while (fault := self._fault(size)) is not None:
            victim = self._victim(cls)
            if victim is None:
                raise SpoolFull(fault)
            owner, segment = victim
            self._on_drop(owner, segment, fault)
            self._chains[owner].remove(segment)
            self._discard(segment)
            segment.path.unlink(missing_ok=True)  # at once: the room is needed now

    def _fault(self, size: int) -> str | None:
        if self.bytes + size > self.limits.max_bytes:
            return "spool full"
        try:
            free = os.statvfs(self.folder)
        except OSError as error:
            return _reason(error)
        if free.f_bavail * free.f_frsize - size < self.limits.leave_free_bytes:
            return "disk floor"
        return None

    def _droppable_bytes(self, cls: str) -> int:
        classes = LEAST_VALUABLE_FIRST[: LEAST_VALUABLE_FIRST.index(cls) + 1]
        closed = sum(segment.size for name in classes for segment in self._chains[name] if segment.closed)
        return closed + sum(spare.size for name, spare in self._spares.items() if name in classes and name != cls)

    def _victim(self, cls: str) -> tuple[str, Segment] | None:
        """Choose the oldest closed segment of the least valuable class, never of one worth more than `cls`."""
        for name in LEAST_VALUABLE_FIRST[: LEAST_VALUABLE_FIRST.index(cls) + 1]:
            if name in self._spares and name != cls:
                self._discard(self._spares.pop(name))
            chain = self._chains[name]
            if chain and chain[0].closed:
                return name, chain[0]
        return None

    def _discard(self, segment: Segment) -> None:
        segment.close()
        self.bytes -= segment.size
        self.garbage.append(segment)


def _reason(error: OSError) -> str:
    """Name a failure of the disk as drops are counted under it."""
    return "disk full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else f"spool: {error.strerror or error}"


def spool_folders(root: Path) -> list[Path]:
    """Return the spools of a robot's processes, living and dead, oldest first."""
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _make_locked(folder: Path) -> int | None:
    """Make a spool folder that nobody can take for a dead process's: it gets its name once its lock is held."""
    hidden = folder.with_name(f".{folder.name}")
    hidden.mkdir(parents=True)
    fd = lock_folder(hidden)
    hidden.rename(folder)
    return fd


def lock_folder(folder: Path) -> int | None:
    """Take a spool folder's lock; return the held descriptor, or None when a process lives in it, or it is gone."""
    try:
        fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(fd)
        return None
    return fd
