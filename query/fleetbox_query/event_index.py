"""Keep an index of events beside the user's other caches, so that a million of them are searched in moments.

Events are append-only revisions in `meta`: what was indexed stands, and only what came since is read. Where a store's
own counts say otherwise (records that came late, a store made anew) the entry is read again. The file can be removed
at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import InputError, NotFound
from fleetbox.events import Event, decode
from fleetbox.records import Record
from fleetbox_query.event_search import ON_EARTH, ON_PLANE, Box, Circle, Search

VERSION = 1
AT_ONCE = 2_000  # revisions written in one transaction
WAIT_S = 30.0  # another process that indexes the same store lets go between its transactions
_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
  bucket TEXT, id TEXT, entry TEXT, stamp INTEGER, closed INTEGER, kind TEXT, robot TEXT, time_us INTEGER,
  start_us INTEGER, stop_us INTEGER, words TEXT, labels TEXT, lat REAL, lon REAL, x REAL, y REAL, body BLOB,
  PRIMARY KEY (bucket, id, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON revisions (bucket, time_us);
CREATE INDEX IF NOT EXISTS by_kind ON revisions (bucket, kind, time_us);
CREATE TABLE IF NOT EXISTS read_entries (
  bucket TEXT, entry TEXT, records INTEGER, oldest INTEGER, latest INTEGER, PRIMARY KEY (bucket, entry));
"""
# A closed revision stands over an open one whatever their stamps, else the later one: as events are folded.
_PUT = """
INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stamp = excluded.stamp, closed = excluded.closed, body = excluded.body,
  words = excluded.words, labels = excluded.labels, start_us = excluded.start_us, stop_us = excluded.stop_us,
  lat = excluded.lat, lon = excluded.lon, x = excluded.x, y = excluded.y
WHERE (excluded.closed, excluded.stamp) >= (revisions.closed, revisions.stamp)
"""

_PLAIN_GLOB = re.compile(r"[\w*-]+")

Tell = Callable[[int], None]


class EventIndex:
    """Hold the index of one store's events; used from one thread at a time, by several processes at once."""

    def __init__(self, path: Path) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._db = self._opened()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    async def bring_up(self, store: Store, bucket: str, entries: Sequence[EntryInfo], tell: Tell | None = None) -> None:
        """Read what came since the last time; `tell` is called with how many revisions were read so far."""
        for entry in entries:
            known = self._db.execute(
                "SELECT records, oldest, latest FROM read_entries WHERE bucket = ? AND entry = ?", (bucket, entry.name)
            ).fetchone()
            if known == (entry.records, entry.oldest_us, entry.latest_us):
                continue
            records, oldest_us, latest_us = known or (0, entry.oldest_us, -1)
            found = 0
            if known and oldest_us == entry.oldest_us and records < entry.records:
                found = await self._read(store, bucket, entry, latest_us + 1, tell)
            if records + found != entry.records or oldest_us != entry.oldest_us:  # late records, or another store
                self._forget(bucket, entry.name)
                await self._read(store, bucket, entry, 0, tell)
            self._note(bucket, entry)

    def find(self, buckets: Sequence[str], search: Search, bounds: Bounds) -> list[tuple[str, int, Event]]:
        """Return the revisions of every event that a search and its bounds choose, as (entry, stamp, event)."""
        where, values = _conditions(buckets, search, bounds)
        ids = [
            row[0]
            for row in self._db.execute(f"SELECT DISTINCT id, lat, lon, x, y FROM revisions WHERE {where}", values)
            if search.within is None or _lies_in(search.within, row[1:])
        ]
        return [
            (entry, stamp, decode(body))
            for some in _parts(list(dict.fromkeys(ids)), 500)
            for entry, stamp, body in self._db.execute(
                f"SELECT entry, stamp, body FROM revisions WHERE bucket IN ({_marks(buckets)}) "
                f"AND id IN ({_marks(some)})",
                [*buckets, *some],
            )
        ]

    async def _read(self, store: Store, bucket: str, entry: EntryInfo, start_us: int, tell: Tell | None) -> int:
        rows, count = [], 0
        with suppress(NotFound):
            async for record in store.query(bucket, (entry.name,), start_us=start_us, stop_us=entry.latest_us + 1):
                count += 1
                if (row := _row(bucket, record)) is not None:
                    rows.append(row)
                if len(rows) >= AT_ONCE:
                    self._put(rows)
                    rows = []
                    if tell is not None:
                        tell(count)
        self._put(rows)
        return count

    def _put(self, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._db:
            self._db.executemany(_PUT, rows)

    def _forget(self, bucket: str, entry: str) -> None:
        with self._db:
            self._db.execute("DELETE FROM revisions WHERE bucket = ? AND entry = ?", (bucket, entry))
            self._db.execute("DELETE FROM read_entries WHERE bucket = ? AND entry = ?", (bucket, entry))

    def _note(self, bucket: str, entry: EntryInfo) -> None:
        row = (bucket, entry.name, entry.records, entry.oldest_us, entry.latest_us)
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO read_entries VALUES (?, ?, ?, ?, ?)", row)

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._made(self._path)
        except sqlite3.OperationalError:  # nowhere to write: it is read anew each time
            return self._made(None)
        except sqlite3.DatabaseError:  # damaged: it is only a cache
            self._path.unlink(missing_ok=True)
            return self._made(self._path)

    def _made(self, path: Path | None) -> sqlite3.Connection:
        db = sqlite3.connect(path or ":memory:", timeout=WAIT_S, check_same_thread=False)
        try:
            if path is not None:
                path.chmod(0o600)
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = OFF")  # lost in a power cut, it is read again
            db.executescript(_SCHEMA)
        except BaseException:
            db.close()
            raise
        return db


@dataclass(frozen=True, slots=True)
class Bounds:
    """Say which kind (a glob) and which moments, in µs, [start, stop)."""

    kind: str | None = None
    start_us: int | None = None
    stop_us: int | None = None


def index_path(url: str) -> Path:
    """Return where the index of a store lies; XDG_CACHE_HOME moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(f"{VERSION} {url}".encode()).hexdigest()[:16]
    return Path(base) / "fleetbox" / "events" / f"{name}.sqlite"


def _row(bucket: str, record: Record) -> tuple[Any, ...] | None:
    try:
        event = decode(record.data)
    except InputError:
        return None
    words = " ".join([event.kind, event.id, event.note, event.trigger, *event.labels.values()]).casefold()
    places = [_number(event.labels.get(name)) for name in (*ON_EARTH, *ON_PLANE)]
    closed = int(event.state == "labelled")
    return (
        bucket, event.id, record.entry, record.time_us, closed, event.kind, event.robot, event.time_us,
        event.start_us, event.stop_us, words, json.dumps(dict(event.labels), sort_keys=True), *places, record.data,
    )  # fmt: skip


def _conditions(buckets: Sequence[str], search: Search, bounds: Bounds) -> tuple[str, list[Any]]:
    parts, values = [f"bucket IN ({_marks(buckets)})"], list[Any](buckets)

    def add(text: str, *given: Any) -> None:
        parts.append(text)
        values.extend(given)

    if bounds.kind is not None and _PLAIN_GLOB.fullmatch(bounds.kind):  # others are left to whoever asked
        add("kind GLOB ?", bounds.kind)
    if bounds.start_us is not None:
        add("time_us >= ?", bounds.start_us)
    if bounds.stop_us is not None:
        add("time_us < ?", bounds.stop_us)
    if search.shortest_us is not None:
        add("stop_us - start_us >= ?", search.shortest_us)
    if search.longest_us is not None:
        add("stop_us - start_us <= ?", search.longest_us)
    for word in search.words:
        add("instr(words, ?)", word.casefold())
    for name, value in search.labels.items():
        add("instr(labels, ?)", json.dumps({name: value})[1:-1])
    for name, low, high in _around(search.within):
        add(f"{name} BETWEEN ? AND ?", low, high)
    return " AND ".join(parts), values


def _around(within: Circle | Box | None) -> Iterator[tuple[str, float, float]]:
    """Yield bounds that hold every place of a circle or box; what they let through is tested exactly."""
    if within is None:
        return
    first, second = ON_PLANE if within.on_plane else ON_EARTH
    if isinstance(within, Box):
        yield first, within.first_low, within.first_high
        if within.second_low <= within.second_high:
            yield second, within.second_low, within.second_high
        return
    reach = within.radius_m if within.on_plane else within.radius_m / 110_000  # m a degree of latitude, at the least
    yield first, within.first - reach, within.first + reach
    if within.on_plane:
        yield second, within.second - reach, within.second + reach


def _lies_in(within: Circle | Box, place: Sequence[float | None]) -> bool:
    lat, lon, x, y = place
    first, second = (x, y) if within.on_plane else (lat, lon)
    return first is not None and second is not None and within.holds(first, second)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _marks(items: Sequence[Any]) -> str:
    return ", ".join("?" * len(items))


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
