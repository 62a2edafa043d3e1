"""Remember which chunks the loader has loaded, and what became of their values."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetbox.ledger import MINUTE_US
from fleetbox.naming import split_bucket
from fleetbox.tallies import Minutes, Tally, total
from fleetbox.time import FOR_EVER_US
from fleetbox_cloud import given
from fleetbox_cloud.given import Given, Refused

VERSION = 2  # of the tables and of what becomes of a chunk; another one begins from the first chunk: no harm
_TABLES = """
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, bucket TEXT, entry TEXT, longest_us INTEGER DEFAULT 0, raw INTEGER, UNIQUE (bucket, entry)
);
CREATE TABLE IF NOT EXISTS loaded (entry INTEGER, time_us INTEGER, PRIMARY KEY (entry, time_us)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (robot TEXT, what TEXT, n INTEGER, PRIMARY KEY (robot, what)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS short (
    robot TEXT, stream TEXT, minute_us INTEGER, n INTEGER, reason TEXT, PRIMARY KEY (robot, stream, minute_us)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pages (robot TEXT PRIMARY KEY, time_us INTEGER) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Say what chunks of one entry became: the tallies of their minutes, the longest chunk, InfluxDB's words."""

    times_us: Iterable[int]
    minutes: Mapping[int, Tally] = field(default_factory=dict)
    longest_us: int = 0
    words: Mapping[str, str] = field(default_factory=dict)
    raw: bool = False  # its rows became points too


@dataclass(frozen=True, slots=True)
class Short:
    """Say that InfluxDB has `n` values fewer of a stream's minute than it was given, and why that cannot be mended."""

    robot: str
    stream: str
    minute_us: int
    n: int
    reason: str


class Cursor:
    """Keep the loaded set and the counts in one SQLite file, changed together or not at all.

    A chunk is 17 bytes here, a stream's minute 25 (a robot of 31 streams: 10 MB a day of 5 s chunks); what the store
    has let go goes here too.
    Every commit survives kill -9; a power cut may take the last ones back, then their chunks are loaded once more,
    which changes nothing in InfluxDB.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = _open(path)
        self._given = Given(self._db)
        self._ids: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # -- chunks -------------------------------------------------------------------------------------------------

    def missing(self, bucket: str, entry: str, times: Iterable[int]) -> set[int]:
        """Return those of the chunk times (µs) that are not loaded yet."""
        number = self._id(bucket, entry)
        query = "SELECT 1 FROM loaded WHERE entry = ? AND time_us = ?"
        return {time_us for time_us in times if not self._db.execute(query, (number, time_us)).fetchone()}

    def loaded(self, bucket: str, entry: str, start_us: int, stop_us: int) -> set[int]:
        """Return the times of the chunks that are loaded, from start to stop (excluded)."""
        query = "SELECT time_us FROM loaded WHERE entry = ? AND time_us >= ? AND time_us < ?"
        return {row[0] for row in self._db.execute(query, (self._id(bucket, entry), start_us, stop_us))}

    def chunks(self, bucket: str, entry: str, start_us: int, stop_us: int) -> int:
        """Return how many that are."""
        query = "SELECT count(*) FROM loaded WHERE entry = ? AND time_us >= ? AND time_us < ?"
        return int(self._db.execute(query, (self._id(bucket, entry), start_us, stop_us)).fetchone()[0])

    def longest_us(self, bucket: str, entry: str) -> int:
        """Return the length of the longest chunk ever loaded: how far to look back for rows."""
        row = self._db.execute("SELECT longest_us FROM entries WHERE id = ?", (self._id(bucket, entry),)).fetchone()
        return int(row[0])

    def newest_us(self, bucket: str, entry: str) -> int | None:
        """Return the time of the newest chunk that is loaded, None if none is."""
        row = self._db.execute("SELECT max(time_us) FROM loaded WHERE entry = ?", (self._id(bucket, entry),)).fetchone()
        return None if row[0] is None else int(row[0])

    def add(self, bucket: str, entry: str, loaded: Loaded) -> None:
        """Note chunks as loaded, together with what they add to the books."""
        number = self._id(bucket, entry)
        with self._db:
            times = [(number, time_us) for time_us in loaded.times_us]
            self._db.executemany("INSERT OR IGNORE INTO loaded VALUES (?, ?)", times)
            self._db.execute(
                "UPDATE entries SET longest_us = max(longest_us, ?), raw = ifnull(raw, ?) WHERE id = ?",
                (loaded.longest_us, loaded.raw, number),
            )
            self._given.add(number, loaded.minutes, loaded.words)
            self._count(bucket, Counter(chunks=len(times)) + _counts(total(loaded.minutes.values())))

    def forget_before(self, bucket: str, entry: str, time_us: int) -> None:
        """Drop what the store itself has let go, so that the file stays as large as the ring."""
        with self._db:
            number = self._id(bucket, entry)
            self._db.execute("DELETE FROM loaded WHERE entry = ? AND time_us < ?", (number, time_us))
            self._given.remove(number, -FOR_EVER_US, time_us)

    def note_raw(self, bucket: str, entry: str, raw: bool) -> bool:
        """Note whether an entry's rows become points from now on; tell whether its chunks so far lack them."""
        number = self._id(bucket, entry)
        (before,) = self._db.execute("SELECT raw FROM entries WHERE id = ?", (number,)).fetchone()
        with self._db:
            self._db.execute("UPDATE entries SET raw = ? WHERE id = ?", (raw, number))
        return raw and not before

    def begin_anew(self, bucket: str, entry: str) -> None:
        """Forget an entry's chunks and its books, as if none was ever loaded."""
        number = self._id(bucket, entry)
        old = self._given.sum(number, -FOR_EVER_US, FOR_EVER_US)
        chunks = self.chunks(bucket, entry, -FOR_EVER_US, FOR_EVER_US)
        with self._db:
            self._db.execute("DELETE FROM loaded WHERE entry = ?", (number,))
            self._given.remove(number, -FOR_EVER_US, FOR_EVER_US)
            change = Counter({"chunks": -chunks})
            change.subtract(_counts(old))
            self._count(bucket, change)

    # -- books --------------------------------------------------------------------------------------------------

    def entries(self) -> list[tuple[str, str]]:
        """Return all (bucket, entry) that chunks were loaded from, sorted."""
        return sorted(self._db.execute("SELECT bucket, entry FROM entries"))

    def streams(self) -> list[tuple[str, str]]:
        """Return all (robot, stream) that chunks were loaded from, sorted."""
        return sorted({((split_bucket(bucket) or (bucket, ""))[0], entry) for bucket, entry in self.entries()})

    def given(self, buckets: Iterable[str], entry: str, start_us: int, stop_us: int = FOR_EVER_US) -> Minutes:
        """Return what InfluxDB was given of an entry's minutes from start to stop (excluded), all buckets added up."""
        return self._given.read([self._id(bucket, entry) for bucket in buckets], start_us, stop_us)

    def sum(self, buckets: Iterable[str], entry: str, start_us: int, stop_us: int) -> Tally:
        """Return the same as one tally."""
        return total(self._given.sum(self._id(bucket, entry), start_us, stop_us) for bucket in buckets)

    def put(self, bucket: str, entry: str, minutes: Mapping[int, Tally], words: Mapping[str, str]) -> None:
        """Write minutes anew, in place of what the books said of them."""
        number = self._id(bucket, entry)
        with self._db:
            old = Tally()
            for minute_us in minutes:
                old = old + self._given.read([number], minute_us, minute_us + MINUTE_US).get(minute_us, Tally())
                self._given.remove(number, minute_us, minute_us + MINUTE_US)
            self._given.add(number, minutes, words)
            change = _counts(total(minutes.values()))
            change.subtract(_counts(old))
            self._count(bucket, change)

    def count(self, bucket: str, what: str, n: int) -> None:
        """Add to one of the counts of a bucket's robot."""
        with self._db:
            self._count(bucket, {what: n})

    def counts(self) -> dict[str, Counter[str]]:
        """Return per robot: chunks, points, values, repaired, and refused:<reason>."""
        found: dict[str, Counter[str]] = {}
        for robot, what, n in self._db.execute("SELECT robot, what, n FROM counts WHERE n ORDER BY robot, what"):
            found.setdefault(robot, Counter())[what] = n
        return found

    def refused(self) -> list[tuple[str, str, Refused]]:
        """Return (bucket, entry, what was refused) for the minutes still in the books, the most first."""
        names = {
            number: (bucket, entry)
            for number, bucket, entry in self._db.execute("SELECT id, bucket, entry FROM entries")
        }
        found = [(*names[one.entry], one) for one in self._given.refused()]
        return sorted(found, key=lambda item: -item[2].n)

    # -- what could not be mended, and how far the ledger was read ----------------------------------------------

    def shorts(self, robot: str | None = None, stream: str | None = None) -> list[Short]:
        """Return the minutes that stay short, of one stream or of all, the worst first."""
        query = "SELECT * FROM short WHERE robot = ifnull(?, robot) AND stream = ifnull(?, stream) ORDER BY n DESC"
        return [Short(*row) for row in self._db.execute(f"{query}, minute_us", (robot, stream))]

    def short_streams(self) -> list[dict[str, Any]]:
        """Return the same per robot, stream and reason: `n` values of `minutes`, from first to last; the most first."""
        names = ("robot", "stream", "reason", "n", "minutes", "first_us", "last_us")
        rows = self._db.execute(
            "SELECT robot, stream, reason, sum(n), count(*), min(minute_us), max(minute_us) FROM short "
            "GROUP BY robot, stream, reason ORDER BY sum(n) DESC"
        )
        return [dict(zip(names, row, strict=True)) for row in rows]

    def forget_short(self, before_us: int) -> None:
        """Drop short minutes from before a time."""
        with self._db:
            self._db.execute("DELETE FROM short WHERE minute_us < ?", (before_us,))

    def put_short(self, robot: str, stream: str, checked: Iterable[int], short: Iterable[Short]) -> None:
        """Replace what is known of the minutes that were checked."""
        with self._db:
            keys = [(robot, stream, minute_us) for minute_us in checked]
            self._db.executemany("DELETE FROM short WHERE robot = ? AND stream = ? AND minute_us = ?", keys)
            rows = [(one.robot, one.stream, one.minute_us, one.n, one.reason) for one in short]
            self._db.executemany("INSERT INTO short VALUES (?, ?, ?, ?, ?)", rows)

    def page(self, robot: str) -> int:
        """Return the time in µs of the last ledger page that was compared with the chunks, 0 at first."""
        row = self._db.execute("SELECT time_us FROM pages WHERE robot = ?", (robot,)).fetchone()
        return int(row[0]) if row else 0

    def put_page(self, robot: str, time_us: int) -> None:
        """Note that the ledger was compared up to a page."""
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO pages VALUES (?, ?)", (robot, time_us))

    def _count(self, bucket: str, counts: Mapping[str, int]) -> None:
        robot, _ = split_bucket(bucket) or (bucket, "")
        self._db.executemany(
            "INSERT INTO counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n",
            [(robot, what, n) for what, n in counts.items() if n],
        )

    def _id(self, bucket: str, entry: str) -> int:
        key = (bucket, entry)
        if key not in self._ids:
            with self._db:
                self._db.execute("INSERT OR IGNORE INTO entries (bucket, entry) VALUES (?, ?)", key)
            row = self._db.execute("SELECT id FROM entries WHERE bucket = ? AND entry = ?", key).fetchone()
            self._ids[key] = int(row[0])
        return self._ids[key]


def _counts(tally: Tally) -> Counter[str]:
    refused = {f"refused:{reason}": n for reason, n in tally.refused.items()}
    return Counter({"points": tally.points, "values": tally.values, **refused})


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != VERSION:
        names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        db.executescript("".join(f"DROP TABLE {name};" for name in names) + f"PRAGMA user_version = {VERSION};")
    db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;" + _TABLES + given.TABLES)
    return db
