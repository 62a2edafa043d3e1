"""Note which told minutes have changed since: a file of names that any process of a robot may append to."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fleetbox.ledger import MINUTE_US, Key, minute_of
from fleetbox.naming import CLASSES

TOLD_AFTER_US = 3_000_000  # µs; no minute is told sooner than this after its end, so that younger news need no note
KNOWN = 4096  # notes a process remembers to have made; past that it repeats itself, which costs 40 bytes a time


class Touches:
    """Hold the stream-minutes that got or changed records after they may have been told.

    A note is in the file when `note` returns: kill -9 cannot take it. `take` gives all notes of all processes;
    `settle` forgets what the last `take` gave. A crash in between gives them again. Thread-safe.
    """

    def __init__(self, path: Path, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._path, self._now_us = path, now_us
        self._lock = threading.Lock()
        self._fd, self._pid, self._inode = -1, 0, 0
        self._noted: set[str] = set()  # what stands in the file that `_fd` is open on
        self._unwritten: set[str] = set()  # the disk was full
        self._taken: list[Path] = []
        self._given: set[str] = set()  # of what is unwritten

    def note(self, cls: str, stream: str, time_us: int) -> None:
        """Say that a record of this class, stream and time in µs was written or relabelled; call it afterwards.

        Call it for every record: one whose minute cannot have been told yet costs a comparison. Never raises for a
        full disk: the note waits in memory then and goes with the next one.
        """
        minute_us = minute_of(time_us)
        now_us = self._now_us()
        if minute_us + MINUTE_US + TOLD_AFTER_US > now_us >= minute_us:
            return
        with self._lock:
            self._unwritten.add(f"{cls}\t{stream}\t{minute_us}\n")
            with suppress(OSError):
                self._append()

    def take(self) -> set[Key]:
        """Return every minute noted since the last `settle`, by whichever process."""
        with self._lock:
            self._move_away()
            self._taken = sorted(self._path.parent.glob(f"{self._path.name}.*.taken"))
            self._given = set(self._unwritten)
            lines = {line for path in self._taken for line in _lines(path)} | self._given
        return {key for line in lines if (key := _key(line)) is not None}

    def settle(self) -> None:
        """Forget what the last `take` gave: it is told now."""
        with self._lock:
            for path in self._taken:
                with suppress(OSError):  # a read-only disk: it is given again, and told again
                    path.unlink()
            self._unwritten -= self._given
            self._taken = []

    def close(self) -> None:
        """Let go of the file; a later note opens it again."""
        with self._lock:
            self._let_go()

    def _append(self) -> None:
        if self._fd < 0 or self._pid != os.getpid() or not self._is_current():
            self._open()
        if self._unwritten <= self._noted:  # the file was not taken since: whoever takes it lists after this moment
            self._unwritten.clear()
            return
        with self._shared():
            data = ("\n" + "".join(sorted(self._unwritten))).encode()  # ends what a full disk may have cut short
            if os.write(self._fd, data) != len(data):
                return
        self._noted |= self._unwritten
        self._unwritten.clear()
        if len(self._noted) > KNOWN:
            self._noted.clear()

    @contextmanager
    def _shared(self) -> Iterator[None]:
        """Hold the current file so that nobody reads it before we are done."""
        while True:
            fcntl.flock(self._fd, fcntl.LOCK_SH)
            if self._is_current():
                break
            self._open()
        try:
            yield
        finally:
            if self._fd >= 0:
                fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _open(self) -> None:
        self._let_go()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        self._pid, self._inode = os.getpid(), os.fstat(self._fd).st_ino

    def _let_go(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._noted.clear()

    def _is_current(self) -> bool:
        try:
            return self._path.stat().st_ino == self._inode
        except FileNotFoundError:
            return False

    def _move_away(self) -> None:
        """Give the file another name, so that later notes go into a new one, and wait for whoever is writing in it."""
        moved = self._path.with_name(f"{self._path.name}.{time.time_ns():020}.taken")
        try:
            self._path.rename(moved)
        except OSError:  # nothing is noted, or the disk is read-only now: a later look takes it
            return
        with moved.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)


def touches_in(folder: Path) -> Callable[[str], Touches]:
    """Return what gives the touches of each robot whose records a site holds; one file a robot."""
    known: dict[str, Touches] = {}

    def of(robot: str) -> Touches:
        if robot not in known:
            known[robot] = Touches(folder / robot)
        return known[robot]

    return of


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)


def _key(line: str) -> Key | None:
    """Read a note; a line that was cut short is none."""
    cls, _, rest = line.partition("\t")
    stream, _, minute = rest.partition("\t")
    if cls not in CLASSES or not stream or not minute.endswith("\n") or not minute.strip().isdigit():
        return None
    return cls, stream, int(minute)
