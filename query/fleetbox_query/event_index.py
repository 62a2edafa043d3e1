"""Keep an index of events beside the user's other caches, so that a million of them are searched in moments.

Events are append-only revisions in `meta`: what was indexed stands, and only what came since is read. Where a store's
own counts say otherwise (records that came late, a store made anew) the entry is read again. The file can be removed
at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import NotFound
from fleetbox.events import Event, decode
from fleetbox.records import Record
from fleetbox_query.event_search import ON_EARTH, ON_PLANE, Box, Circle, Search

VERSION = 2
AT_ONCE = 2_000  # revisions written in one transaction, while the next ones are read
WAIT_S = 30.0  # another process that indexes the same store lets go between its transactions
_SCHEMA = """
CREATE TABLE IF NOT EXISTS revisions (
  bucket TEXT, id TEXT, entry TEXT, stamp INTEGER, closed INTEGER, kind TEXT, robot TEXT, time_us INTEGER,
  start_us INTEGER, stop_us INTEGER, words TEXT, labels TEXT, lat REAL, lon REAL, x REAL, y REAL, body BLOB,
  PRIMARY KEY (bucket, id, entry)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON revisions (bucket, time_us);
CREATE INDEX IF NOT EXISTS by_kind ON revisions (bucket, kind, time_us);
CREATE TABLE IF NOT EXISTS read_entries (
  bucket TEXT, entry TEXT, records INTEGER, oldest INTEGER, latest INTEGER, since INTEGER,
  PRIMARY KEY (bucket, entry));
"""
# A closed revision stands over an open one whatever their stamps, else the later one: as events are folded.
_PUT = """
INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stamp = excluded.stamp, closed = excluded.closed, body = excluded.body,
  words = excluded.words, labels = excluded.labels, start_us = excluded.start_us, stop_us = excluded.stop_us,
  lat = excluded.lat, lon = excluded.lon, x = excluded.x, y = excluded.y
WHERE (excluded.closed, excluded.stamp) >= (revisions.closed, revisions.stamp)
"""

_LABELS = json.JSONEncoder(sort_keys=True)  # made once: json.dumps makes one a call, 3 µs an event
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

    async def bring_up(
        self, store: Store, bucket: str, entries: Sequence[EntryInfo], since_us: int = 0, tell: Tell | None = None
    ) -> None:
        """Read what came since the last time, or since `since_us` where less is known.

        `tell` is called with how many revisions were read so far.
        """
        for entry in entries:
            known = self._known(bucket, entry.name)
            if known is not None and not await self._catch_up(store, bucket, entry, known, tell):
                self._forget(bucket, entry.name)
                known = None
            if known is None or since_us < known.since_us:
                stop_us = entry.latest_us + 1 if known is None else known.since_us
                await self._read(store, bucket, entry.name, (since_us, stop_us), tell)
                known = _Known(entry.records, entry.oldest_us, entry.latest_us, since_us)
            self._note(bucket, entry, known.since_us)

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

    async def _catch_up(self, store: Store, bucket: str, entry: EntryInfo, known: _Known, tell: Tell | None) -> bool:
        """Read what came after the last record known; false where that does not make up for the difference.

        Then records came late, or it is another store.
        """
        if known.oldest_us != entry.oldest_us or known.records > entry.records:
            return False
        if (known.records, known.latest_us) == (entry.records, entry.latest_us):
            return True
        window = (known.latest_us + 1, entry.latest_us + 1)
        return known.records + await self._read(store, bucket, entry.name, window, tell) == entry.records

    async def _read(self, store: Store, bucket: str, entry: str, window: tuple[int, int], tell: Tell | None) -> int:
        """Take the revisions of a window in, [start, stop) in µs, and return how many there were."""
        count, batch = 0, list[Record]()
        writing: asyncio.Task[None] | None = None
        query = store.query(bucket, (entry,), start_us=window[0], stop_us=max(window))
        try:
            async with aclosing(query) as records:
                async for record in records:
                    count += 1
                    batch.append(record)
                    if len(batch) >= AT_ONCE:
                        if writing is not None:
                            await writing
                        writing, batch = asyncio.create_task(asyncio.to_thread(self._take, bucket, batch)), []
                        if tell is not None:
                            tell(count)
        except NotFound:
            pass
        finally:
            if writing is not None:  # a thread cannot be stopped, and the file must not be closed under it
                await asyncio.wait([writing])
        if writing is not None:
            writing.result()
        self._take(bucket, batch)
        return count

    def _take(self, bucket: str, records: Iterable[Record]) -> None:
        self._put(row for record in records if (row := _row(bucket, record)) is not None)

    def _put(self, rows: Iterable[tuple[Any, ...]]) -> None:
        with self._db:
            self._db.executemany(_PUT, rows)

    def _forget(self, bucket: str, entry: str) -> None:
        with self._db:
            self._db.execute("DELETE FROM revisions WHERE bucket = ? AND entry = ?", (bucket, entry))
            self._db.execute("DELETE FROM read_entries WHERE bucket = ? AND entry = ?", (bucket, entry))

    def _known(self, bucket: str, entry: str) -> _Known | None:
        row = self._db.execute(
            "SELECT records, oldest, latest, since FROM read_entries WHERE bucket = ? AND entry = ?", (bucket, entry)
        ).fetchone()
        return None if row is None else _Known(*row)

    def _note(self, bucket: str, entry: EntryInfo, since_us: int) -> None:
        row = (bucket, entry.name, entry.records, entry.oldest_us, entry.latest_us, since_us)
        with self._db:
            self._db.execute("INSERT OR REPLACE INTO read_entries VALUES (?, ?, ?, ?, ?, ?)", row)

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
class _Known:
    """Say how an entry was when it was read, and from which time on it was; in µs."""

    records: int
    oldest_us: int
    latest_us: int
    since_us: int


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
    """Return what is searched of a revision, without making an Event of it: there may be a million."""
    try:
        raw = json.loads(record.data)
        labels: dict[str, str] = raw.get("labels") or {}
        words = " ".join([raw["kind"], raw["id"], raw.get("note", ""), raw.get("trigger", ""), *labels.values()])
        places = [_number(labels.get(name)) for name in (*ON_EARTH, *ON_PLANE)]
        return (
            bucket, raw["id"], record.entry, record.time_us, int(raw.get("state") == "labelled"), raw["kind"],
            raw["robot"], raw["time_us"], raw["start_us"], raw["stop_us"], words.casefold(), _LABELS.encode(labels),
            *places, record.data,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError, AttributeError):  # no event
        return None


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
