"""Remember which records a site's feeds have turned into points, and where: nothing twice, nothing left out."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from fleetbox.errors import FleetboxError

_TABLES = """
CREATE TABLE IF NOT EXISTS seen (bucket TEXT, entry TEXT, time_us INTEGER, PRIMARY KEY (bucket, entry, time_us))
WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS place (
    bucket TEXT, space TEXT, point_us INTEGER, what TEXT, PRIMARY KEY (bucket, space, point_us)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS looked (
    bucket TEXT, entry TEXT, records INTEGER, latest_us INTEGER, oldest_us INTEGER, PRIMARY KEY (bucket, entry)
) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS place_of ON place (bucket, space, what);
"""
AT_ONCE = 500  # values of one statement


@dataclass(frozen=True, slots=True)
class Looked:
    """Hold an entry as it was when all of it had been seen."""

    records: int
    latest_us: int
    oldest_us: int


class Sent:
    """Hold in one SQLite file: records seen, the time each of their points has, entries as they were when looked at.

    Points of one series need a time each: of two lines logged in the same µs the second is put 1 µs later, for good.
    The file is a cache: lost, all is written again, to the same points but for such pairs. A damaged one is made anew.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._found: Counter[tuple[str, str]] = Counter()  # by bucket and entry
        try:
            self._db = _opened(path)
        except sqlite3.DatabaseError:
            path.replace(path.with_suffix(".damaged"))
            try:
                self._db = _opened(path)
            except sqlite3.Error as error:
                raise FleetboxError(
                    f"the list of what was fed cannot be kept at {path}: {error}",
                    "see that the state folder is writable and its disk has room",
                ) from error

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def begin(self, number: int) -> bool:
        """Forget which records were seen unless it was under this number; return whether they were forgotten.

        The places of points stay: what is written again is written where it was.
        """
        if self._version() // 2 == number:
            return False
        version = f"PRAGMA user_version = {2 * int(number)}"
        self._db.executescript(f"BEGIN; DELETE FROM seen; DELETE FROM looked; {version}; COMMIT;")
        return True

    @property
    def reached_back(self) -> bool:
        """Tell whether `reach_back` was called under this number."""
        return self._version() % 2 == 1

    def reach_back(self, entries: Iterable[tuple[str, str]]) -> None:
        """Note that records of long ago come next: these entries are looked at as if for the first time."""
        with self._db:
            self._db.executemany("DELETE FROM looked WHERE bucket = ? AND entry = ?", entries)
            self._db.execute(f"PRAGMA user_version = {self._version() | 1}")

    def entries(self, bucket: str) -> list[tuple[str, str]]:
        """Return (bucket, entry) for what was looked at of a bucket."""
        return [(bucket, row[0]) for row in self._db.execute("SELECT entry FROM looked WHERE bucket = ?", (bucket,))]

    def missing(self, bucket: str, entry: str, times_us: Sequence[int]) -> set[int]:
        """Return those of the times that were not seen."""
        found: set[int] = set()
        for at in range(0, len(times_us), AT_ONCE):
            part = times_us[at : at + AT_ONCE]
            marks = ",".join("?" * len(part))
            sql = f"SELECT time_us FROM seen WHERE bucket = ? AND entry = ? AND time_us IN ({marks})"
            found |= {row[0] for row in self._db.execute(sql, (bucket, entry, *part))}
        return set(times_us) - found

    def latest_us(self, bucket: str, entry: str) -> int | None:
        """Return the newest time seen, None for none."""
        sql = "SELECT MAX(time_us) FROM seen WHERE bucket = ? AND entry = ?"
        newest: int | None = self._db.execute(sql, (bucket, entry)).fetchone()[0]
        return newest

    def newer(self, bucket: str, entry: str, than_us: int) -> int:
        """Return how many records later than a time in µs were seen."""
        sql = "SELECT COUNT(*) FROM seen WHERE bucket = ? AND entry = ? AND time_us > ?"
        number: int = self._db.execute(sql, (bucket, entry, than_us)).fetchone()[0]
        return number

    def found(self, bucket: str, entry: str) -> int:
        """Return how many records were seen since `look` was called for an entry, or the file was opened."""
        return self._found[bucket, entry]

    def looked(self, bucket: str, entry: str) -> Looked | None:
        """Return an entry as it was at the last look that saw all of it, None before the first."""
        sql = "SELECT records, latest_us, oldest_us FROM looked WHERE bucket = ? AND entry = ?"
        row = self._db.execute(sql, (bucket, entry)).fetchone()
        return Looked(*row) if row else None

    def look(self, bucket: str, entry: str, looked: Looked) -> None:
        """Note that all of an entry was seen."""
        with self._db:
            self._db.execute(
                "INSERT OR REPLACE INTO looked VALUES (?, ?, ?, ?, ?)",
                (bucket, entry, looked.records, looked.latest_us, looked.oldest_us),
            )
        self._found.pop((bucket, entry), None)

    def see(self, bucket: str, times_us: Mapping[str, Iterable[int]]) -> None:
        """Note records, by entry, whose points are written."""
        with self._db:
            for entry, times in times_us.items():
                rows = [(bucket, entry, at_us) for at_us in times]
                made = self._db.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)
                self._found[bucket, entry] += max(0, made.rowcount)

    def place(self, bucket: str, space: str, wanted: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Return the time of each point, given as (what, time in µs): its own, or the next one that is free."""
        found: dict[str, int] = {}
        with self._db:
            for what, at_us in wanted:
                found[what] = self._place(bucket, space, what, at_us)
        return found

    def forget(self, bucket: str, entry: str, before_us: int) -> None:
        """Forget records that the store itself has let go."""
        with self._db:
            self._db.execute(
                "DELETE FROM seen WHERE bucket = ? AND entry = ? AND time_us < ?", (bucket, entry, before_us)
            )

    def forget_places(self, bucket: str, space: str, before_us: int) -> None:
        """Forget the points of records that the store itself has let go."""
        with self._db:
            self._db.execute(
                "DELETE FROM place WHERE bucket = ? AND space = ? AND point_us < ?", (bucket, space, before_us)
            )

    def _version(self) -> int:
        """Return twice the number, and one more once it has reached back."""
        return int(self._db.execute("PRAGMA user_version").fetchone()[0])

    def _place(self, bucket: str, space: str, what: str, at_us: int) -> int:
        known = self._db.execute(
            "SELECT point_us FROM place WHERE bucket = ? AND space = ? AND what = ?", (bucket, space, what)
        ).fetchone()
        if known is not None:
            return int(known[0])
        while True:
            made = self._db.execute("INSERT OR IGNORE INTO place VALUES (?, ?, ?, ?)", (bucket, space, at_us, what))
            if made.rowcount:
                return at_us
            at_us += 1


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    try:
        db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES)
        with closing(db.execute("PRAGMA quick_check(1)")) as check:
            if check.fetchone() != ("ok",):
                raise sqlite3.DatabaseError("damaged")
    except sqlite3.Error:
        db.close()
        raise
    return db
