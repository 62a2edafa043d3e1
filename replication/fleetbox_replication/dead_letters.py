"""Keep the list of dead letters: records that a destination would not take and the relay let through by name."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fleetbox.errors import FleetboxError, NotFound
from fleetbox_replication.next_steps import next_step

FILE = "dead_letters.sqlite"  # in the state folder of a robot or a site
MOST = 1_000_000  # as many as the engine's own log holds of one entry; about 100 MB on disk
SHOWN = 200  # groups; a status must stay short enough to be read
WAIT_S = 5.0  # for another process that reads the same file

_TABLES = """
CREATE TABLE IF NOT EXISTS letters (
    bucket TEXT, entry TEXT, time_us INTEGER, status INTEGER, message TEXT,
    count INTEGER, since_us INTEGER, last_us INTEGER, PRIMARY KEY (bucket, entry, time_us)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS settled (bucket TEXT PRIMARY KEY, count INTEGER) WITHOUT ROWID;
"""
_NOTE = """
INSERT INTO letters VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status,
message = excluded.message, count = count + excluded.count, last_us = excluded.last_us
"""
_GROUPS = """
SELECT bucket, entry, status, MAX(message), COUNT(*), SUM(count), MIN(since_us), MAX(last_us), MIN(time_us),
MAX(time_us) FROM letters GROUP BY bucket, entry, status ORDER BY COUNT(*) DESC, bucket, entry LIMIT ?
"""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Name one record the destination did not take: where it belongs, what the answer was, how often, since when.

    `bucket` and `entry` are the destination's; `count` is how often it was refused.
    """

    bucket: str
    entry: str
    time_us: int
    status: int
    message: str
    count: int
    since_us: int
    last_us: int

    @property
    def next_step(self) -> str:
        """Return what ends the refusal."""
        return next_step(self.status, self.bucket, self.message)


@dataclass(frozen=True, slots=True)
class LetterGroup:
    """Sum up the dead letters of one entry that share a status; `first_us` and `newest_us` bound their own times."""

    bucket: str
    entry: str
    status: int
    message: str
    letters: int
    count: int
    since_us: int
    last_us: int
    first_us: int
    newest_us: int

    @property
    def next_step(self) -> str:
        """Return what ends the refusal."""
        return next_step(self.status, self.bucket, self.message)


class DeadLetters:
    """Hold the open letters in one SQLite file; every change is on the disk when the call returns.

    Noting the same letter again adds to its count; settling one that is not there changes nothing. It may be used
    from any thread, and read by another process meanwhile (`DeadLetters.read`).
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        # FULL: a letter let through stands in no other list, so that a power cut may not take it back
        self._db = _made(path, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;" + _TABLES)
        self._open = int(self._db.execute("SELECT COUNT(*) FROM letters").fetchone()[0])

    @classmethod
    def read(cls, path: Path) -> DeadLetters:
        """Open a file only to read it; raises NotFound when there is none."""
        if not path.exists():
            raise NotFound(f"there is no list of dead letters at {path}", "has a relay run with this state folder?")
        made = cls.__new__(cls)
        made._lock = threading.Lock()
        made._db = _opened(path, f"{path.absolute().as_uri()}?mode=ro", "")
        made._open = int(made._db.execute("SELECT COUNT(*) FROM letters").fetchone()[0])
        return made

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def __len__(self) -> int:
        """Count the open letters."""
        return self._open

    def note(self, letter: DeadLetter) -> None:
        """Add a letter, or its count to the one that is there."""
        self.note_all([letter])

    def note_all(self, letters: Iterable[DeadLetter]) -> None:
        """Add letters, all or none; raises FleetboxError when the file cannot take them."""
        rows = [
            (at.bucket, at.entry, at.time_us, at.status, at.message, at.count, at.since_us, at.last_us)
            for at in letters
        ]
        with self._using("written"):
            if self._open + len(rows) > MOST:
                raise FleetboxError(
                    f"the list of dead letters is full ({MOST} records)",
                    "fleetbox replicate dead-letters shows why the destination refuses them",
                )
            self._db.executemany(_NOTE, rows)
            self._open = int(self._db.execute("SELECT COUNT(*) FROM letters").fetchone()[0])

    def settle(self, bucket: str, entry: str, time_us: int) -> bool:
        """Strike a letter whose record has arrived, or is gone at its source; tell whether it was open."""
        return self.settle_all(bucket, entry, [time_us]) == 1

    def settle_all(self, bucket: str, entry: str, times_us: Iterable[int]) -> int:
        """Strike the letters of one entry; return how many were open."""
        if not self._open:
            return 0
        with self._using("written"):
            before = self._db.total_changes
            self._db.executemany(
                "DELETE FROM letters WHERE bucket = ? AND entry = ? AND time_us = ?",
                [(bucket, entry, time_us) for time_us in times_us],
            )
            struck = self._db.total_changes - before
            if struck:
                self._db.execute(
                    "INSERT INTO settled VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
                    (bucket, struck),
                )
            self._open -= struck
            return struck

    def open(self, bucket: str | None = None, limit: int = -1) -> list[DeadLetter]:
        """Return the open letters, of one bucket or all, the oldest trouble first; `limit` bounds how many."""
        with self._using("read"):
            rows = self._db.execute(
                "SELECT * FROM letters WHERE ? IS NULL OR bucket = ? ORDER BY since_us, bucket, entry, time_us LIMIT ?",
                (bucket, bucket, limit),
            )
            return [DeadLetter(*row) for row in rows]

    def groups(self, limit: int = -1) -> list[LetterGroup]:
        """Return the open letters summed up per entry and status, the largest group first."""
        with self._using("read"):
            return [LetterGroup(*row) for row in self._db.execute(_GROUPS, (limit,))]

    def settled(self) -> dict[str, int]:
        """Return per bucket how many letters were settled so far."""
        with self._using("read"):
            return {bucket: int(count) for bucket, count in self._db.execute("SELECT * FROM settled ORDER BY bucket")}

    @contextmanager
    def _using(self, how: str) -> Iterator[None]:
        with self._lock:
            try:
                with self._db:
                    yield
            except sqlite3.Error as error:
                raise FleetboxError(
                    f"the list of dead letters cannot be {how}: {error}",
                    "see that the state folder's disk has room; the records stay at the source",
                ) from error


def letters_of(state: Path) -> Path:
    """Return where a place with this state folder lists its dead letters."""
    return state / FILE


def shown_letters(letters: DeadLetters) -> dict[str, Any]:
    """Return the open letters, their groups and how many were settled, or why they cannot be read, as plain values."""
    try:
        groups = [{**asdict(group), "next_step": group.next_step} for group in letters.groups(SHOWN)]
        return {"open": len(letters), "groups": groups, "settled": letters.settled()}
    except FleetboxError as error:
        return {"open": len(letters), "groups": [], "settled": {}, "error": error.message}


def named(bucket: str, entry: str, refused: Sequence[tuple[int, int, str]], now_us: int) -> list[DeadLetter]:
    """Return letters of one entry from (time in µs, status, message), refused for the first time now."""
    return [DeadLetter(bucket, entry, at_us, status, message, 1, now_us, now_us) for at_us, status, message in refused]


def _made(path: Path, script: str) -> sqlite3.Connection:
    """Open the list, or a new one where the file is damaged: the reconciler finds what an old one named anyway."""
    try:
        db = sqlite3.connect(path)
        damaged = bool(db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
        db.close()
    except sqlite3.OperationalError:
        damaged = False  # not there to be judged: opening it says why
    except sqlite3.DatabaseError:
        damaged = True
    if damaged:
        path.replace(path.with_suffix(".damaged"))
        for beside in ("-wal", "-shm"):
            path.with_name(path.name + beside).unlink(missing_ok=True)
    return _opened(path, str(path), script)


def _opened(path: Path, address: str, script: str) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(address, timeout=WAIT_S, check_same_thread=False, uri=address.startswith("file:"))
        db.executescript(script)
        db.execute("SELECT COUNT(*) FROM letters").fetchone()
    except sqlite3.Error as error:
        raise FleetboxError(
            f"the list of dead letters at {path} cannot be opened: {error}",
            "see that the state folder is writable",
        ) from error
    return db
