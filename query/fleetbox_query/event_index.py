"""Keep an index of events beside the user's other caches, so that a million of them are searched in moments.

Events are append-only revisions in `meta`: what was indexed stands, and only what came since is read. Where a store's
own counts say otherwise (records that came late, a store made anew) the entry is read again. The file can be removed
at any time.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import NotFound
from fleetbox.events import Event, decode
from fleetbox.records import Record
from fleetbox_query.event_columns import Bounds, conditions, lies_in, marks, rows
from fleetbox_query.event_search import Search
from fleetbox_query.reading import side_by_side

VERSION = 3
AT_ONCE = 2_000  # revisions written in one transaction, while the next ones are read
SIDE_BY_SIDE = 4  # entries read at once: the engine answers one while another is taken in
WAIT_S = 30.0  # another process that indexes the same store lets go between its transactions
_SCHEMA = """
CREATE TABLE IF NOT EXISTS sources (
  number INTEGER PRIMARY KEY AUTOINCREMENT, bucket TEXT, entry TEXT, records INTEGER, oldest INTEGER, latest INTEGER,
  since INTEGER, UNIQUE (bucket, entry));
CREATE TABLE IF NOT EXISTS revisions (
  source INTEGER, id TEXT, stamp INTEGER, closed INTEGER, kind TEXT, time_us INTEGER, start_us INTEGER,
  stop_us INTEGER, words TEXT, labels TEXT, lat REAL, lon REAL, x REAL, y REAL, body BLOB, UNIQUE (source, id));
"""
# Made when the first reading is over: in order all the while they would make each revision half as dear again.
_INDICES = """
CREATE INDEX IF NOT EXISTS by_time ON revisions (source, time_us);
CREATE INDEX IF NOT EXISTS by_kind ON revisions (source, kind, time_us);
"""
# A closed revision stands over an open one whatever their stamps, else the later one: as events are folded.
_PUT = """
INSERT INTO revisions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET stamp = excluded.stamp, closed = excluded.closed, body = excluded.body,
  words = excluded.words, labels = excluded.labels, start_us = excluded.start_us, stop_us = excluded.stop_us,
  lat = excluded.lat, lon = excluded.lon, x = excluded.x, y = excluded.y
WHERE (excluded.closed, excluded.stamp) >= (revisions.closed, revisions.stamp)
"""

T = TypeVar("T")
Tell = Callable[[int, int], None]  # revisions read, and about how many there are to read


class EventIndex:
    """Hold the index of one store's events; used from one thread at a time, by several processes at once."""

    def __init__(self, path: Path) -> None:
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._db = self._opened()
        self._worker = ThreadPoolExecutor(1)  # one after the other writes, while the next revisions are read

    def close(self) -> None:
        """Close the file."""
        self._worker.shutdown()
        self._db.close()

    async def bring_up(
        self, store: Store, wanted: Mapping[str, Sequence[EntryInfo]], since_us: int = 0, tell: Tell | None = None
    ) -> None:
        """Read what came to entries, by bucket, since the last time, or since `since_us` where less is known.

        Whoever is interrupted goes on from there the next time.
        """
        room, told = asyncio.Semaphore(SIDE_BY_SIDE), _Told(tell)

        async def one(bucket: str, entry: EntryInfo) -> None:
            async with room:
                await self._bring_up(_Lines(store, bucket, entry, told), since_us)

        await side_by_side([one(bucket, entry) for bucket, entries in wanted.items() for entry in entries])
        await self._aside(self._make_indices)

    def find(self, bucket: str, search: Search, bounds: Bounds) -> list[tuple[str, int, Event]]:
        """Return the revisions of a bucket's events that a search and its bounds choose, as (entry, stamp, event)."""
        names = dict(self._db.execute("SELECT number, entry FROM sources WHERE bucket = ?", (bucket,)).fetchall())
        where, values = conditions(list(names), search, bounds)
        ids = [
            row[0]
            for row in self._db.execute(f"SELECT DISTINCT id, lat, lon, x, y FROM revisions WHERE {where}", values)
            if search.within is None or lies_in(search.within, row[1:])
        ]
        return [
            (names[source], stamp, decode(body))
            for some in _parts(list(dict.fromkeys(ids)), 500)
            for source, stamp, body in self._db.execute(
                f"SELECT source, stamp, body FROM revisions WHERE source IN ({marks(names)}) AND id IN ({marks(some)})",
                [*names, *some],
            )
        ]

    async def _bring_up(self, lines: _Lines, since_us: int) -> None:
        entry = lines.entry
        known = await self._aside(self._known, lines)
        if known is not None and not await self._catch_up(lines, known):
            await self._aside(self._forget, known)
            known = None
        if known is None:
            known = await self._aside(self._begin, lines, since_us)
            countable = since_us <= entry.oldest_us  # then what was read so far can be told by its number
            await self._read(lines, known, (since_us, entry.latest_us + 1), noting=countable)
        elif since_us < known.since_us:
            await self._read(lines, known, (since_us, known.since_us))
        since_us = min(since_us, known.since_us)
        latest_us = min(entry.latest_us, max(known.latest_us, lines.newest_us))  # a newer one is counted, but not whole
        await self._aside(self._note, replace(known, records=entry.records, latest_us=latest_us, since_us=since_us))

    async def _catch_up(self, lines: _Lines, known: _Known) -> bool:
        """Read what came after the last record known; false where that does not make up for the difference.

        Then records came late, or it is another store.
        """
        entry = lines.entry
        if known.oldest_us != entry.oldest_us or known.records > entry.records:
            return False
        if (known.records, known.latest_us) == (entry.records, entry.latest_us):
            return True
        window = (known.latest_us + 1, entry.latest_us + 1)
        return known.records + await self._read(lines, known, window, noting=True) == entry.records

    async def _read(self, lines: _Lines, known: _Known, window: tuple[int, int], *, noting: bool = False) -> int:
        """Take the revisions of a window in, [start, stop) in µs, and return how many there were.

        noting: say after each transaction how far it came; right where all before the window is known.
        """
        count, batch, writing = 0, list[Record](), None
        lines.told.more(lines.entry.records - known.records)
        query = lines.store.query(lines.bucket, (lines.entry.name,), start_us=window[0], stop_us=max(window))
        with suppress(NotFound):
            async with aclosing(query) as records:
                async for record in records:
                    batch.append(record)
                    lines.newest_us = max(lines.newest_us, record.time_us)
                    if len(batch) >= AT_ONCE:
                        if writing is not None:
                            await writing
                        count += len(batch)
                        reached = replace(known, records=known.records + count, latest_us=record.time_us)
                        writing = asyncio.ensure_future(
                            self._aside(self._take, known, batch, reached if noting else None)
                        )
                        lines.told.read(len(batch))
                        batch = []
        if writing is not None:
            await writing
        await self._aside(self._take, known, batch, None)
        return count + len(batch)

    async def _aside(self, work: Callable[..., T], *given: Any) -> T:
        """Do work on the file in its thread; whoever is cancelled waits until it has been broken off."""
        doing = asyncio.get_running_loop().run_in_executor(self._worker, work, *given)
        try:
            return await asyncio.shield(doing)
        except asyncio.CancelledError:
            self._db.interrupt()
            await asyncio.wait([doing])
            doing.exception()
            raise

    def _take(self, known: _Known, records: Sequence[Record], reached: _Known | None) -> None:
        found = rows(known.number, records)
        with self._db:
            self._db.executemany(_PUT, found)
            if reached is not None:
                self._write_note(reached)

    def _make_indices(self) -> None:
        with self._db:
            self._db.executescript(_INDICES)

    def _forget(self, known: _Known) -> None:
        """Drop a source with its number: what another process still writes under it counts no more."""
        with self._db:
            self._db.execute("DELETE FROM sources WHERE number = ?", (known.number,))
            self._db.execute("DELETE FROM revisions WHERE source NOT IN (SELECT number FROM sources)")

    def _known(self, lines: _Lines) -> _Known | None:
        row = self._db.execute(
            "SELECT number, records, oldest, latest, since FROM sources WHERE bucket = ? AND entry = ?",
            (lines.bucket, lines.entry.name),
        ).fetchone()
        return None if row is None else _Known(*row)

    def _begin(self, lines: _Lines, since_us: int) -> _Known:
        """Note a source of which nothing is known yet, and return it as it stands."""
        row = (lines.bucket, lines.entry.name, lines.entry.oldest_us, since_us - 1, since_us)
        with self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO sources (bucket, entry, records, oldest, latest, since) "
                "VALUES (?, ?, 0, ?, ?, ?)",
                row,
            )
        known = self._known(lines)
        assert known is not None, "it was written just now"
        return replace(known, records=0, since_us=since_us)

    def _note(self, known: _Known) -> None:
        with self._db:
            self._write_note(known)

    def _write_note(self, known: _Known) -> None:
        values = (known.records, known.oldest_us, known.latest_us, known.since_us, known.number)
        self._db.execute("UPDATE sources SET records = ?, oldest = ?, latest = ?, since = ? WHERE number = ?", values)

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

    number: int
    records: int
    oldest_us: int
    latest_us: int
    since_us: int


class _Told:
    """Add up what several readings tell, for whoever wants to know how far all of them are."""

    def __init__(self, tell: Tell | None) -> None:
        self._tell = tell
        self._done = self._whole = 0

    def more(self, count: int) -> None:
        """Expect so many more."""
        self._whole += count

    def read(self, count: int) -> None:
        """Count what was read."""
        self._done += count
        if self._tell is not None:
            self._tell(self._done, max(self._done, self._whole))


@dataclass(slots=True)
class _Lines:
    """Hold an entry to read, where it is, whom to tell of it, and how far it was read."""

    store: Store
    bucket: str
    entry: EntryInfo
    told: _Told
    newest_us: int = 0


def index_path(url: str) -> Path:
    """Return where the index of a store lies; XDG_CACHE_HOME moves it."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = hashlib.sha256(f"{VERSION} {url}".encode()).hexdigest()[:16]
    return Path(base) / "fleetbox" / "events" / f"{name}.sqlite"


def _parts(items: list[Any], size: int) -> Iterator[list[Any]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
