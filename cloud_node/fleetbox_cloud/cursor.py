"""Remember which chunks the loader has loaded, and what became of their values."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, bucket TEXT, entry TEXT, UNIQUE (bucket, entry));
CREATE TABLE IF NOT EXISTS loaded (entry INTEGER, time_us INTEGER, PRIMARY KEY (entry, time_us)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (robot TEXT, what TEXT, n INTEGER, PRIMARY KEY (robot, what)) WITHOUT ROWID;
"""


class Cursor:
    """Keep the loaded set and the counts in one SQLite file, changed together or not at all.

    A chunk is a dozen bytes here. Every commit survives kill -9; a power cut may take the last ones back,
    then their chunks are loaded once more, which changes nothing in InfluxDB.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path)
        self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)
        self._ids: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def missing(self, bucket: str, entry: str, times: Iterable[int]) -> set[int]:
        """Return those of the chunk times (µs) that are not loaded yet."""
        number = self._id(bucket, entry)
        query = "SELECT 1 FROM loaded WHERE entry = ? AND time_us = ?"
        return {time_us for time_us in times if not self._db.execute(query, (number, time_us)).fetchone()}

    def add(self, bucket: str, entry: str, times: Iterable[int], robot: str, counts: Mapping[str, int]) -> None:
        """Note chunks as loaded, together with what they add to a robot's counts."""
        number = self._id(bucket, entry)
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO loaded VALUES (?, ?)", [(number, time) for time in times])
            self._db.executemany(
                "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
                [(robot, what, n) for what, n in counts.items() if n],
            )

    def forget_before(self, bucket: str, entry: str, time_us: int) -> None:
        """Drop what the store itself has let go, so that the file stays as large as the ring."""
        with self._db:
            number = self._id(bucket, entry)
            self._db.execute("DELETE FROM loaded WHERE entry = ? AND time_us < ?", (number, time_us))

    def counts(self) -> dict[str, Counter[str]]:
        """Return per robot: chunks, points, values, and refused:<reason>."""
        found: dict[str, Counter[str]] = {}
        for robot, what, n in self._db.execute("SELECT robot, what, n FROM counts ORDER BY robot, what"):
            found.setdefault(robot, Counter())[what] = n
        return found

    def _id(self, bucket: str, entry: str) -> int:
        key = (bucket, entry)
        if key not in self._ids:
            with self._db:
                self._db.execute("INSERT OR IGNORE INTO entries (bucket, entry) VALUES (?, ?)", key)
            row = self._db.execute("SELECT id FROM entries WHERE bucket = ? AND entry = ?", key).fetchone()
            self._ids[key] = int(row[0])
        return self._ids[key]
