"""What the reconciler knows of every stream-minute, in one SQLite file: told, arrived, open or proven."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetbox.errors import FleetboxError
from fleetbox.ledger import Key, Removal, Tombstone
from fleetbox_replication.reconcile.minute import Minute, from_row, to_row

log = structlog.get_logger()

VERSION = 2  # of the tables; another one is started over
REMEMBERED = 500_000  # proven minutes: ten days of 31 streams, 60 MB; the oldest are forgotten, which proves nothing

_TABLES = """
CREATE TABLE cursor (side TEXT, robot TEXT, time_us INTEGER, records INTEGER, PRIMARY KEY (side, robot));
CREATE TABLE minute (
  robot TEXT, cls TEXT, stream TEXT, minute_us INTEGER, state INTEGER, since_us INTEGER,
  told TEXT, last TEXT, partial INTEGER, cloud INTEGER, there TEXT, cloud_there INTEGER, once INTEGER, standing TEXT,
  told_us INTEGER, there_us INTEGER,
  PRIMARY KEY (robot, cls, stream, minute_us)) WITHOUT ROWID;
CREATE INDEX unproven ON minute (robot, cls) WHERE state = 0;
CREATE INDEX said ON minute (robot) WHERE standing IS NOT NULL;
CREATE TABLE told (robot TEXT, cls TEXT, stream TEXT, until_us INTEGER, PRIMARY KEY (robot, cls, stream));
CREATE TABLE hops (robot TEXT PRIMARY KEY, signature TEXT);
CREATE TABLE stone (robot TEXT, cls TEXT, stream TEXT, start_us INTEGER, stop_us INTEGER, by TEXT, site TEXT,
  PRIMARY KEY (robot, cls, stream, start_us, stop_us, site));
CREATE TABLE removal (robot TEXT, cls TEXT, stream TEXT, minute_us INTEGER, reason TEXT, at_us INTEGER,
  undelivered INTEGER, PRIMARY KEY (robot, cls, stream, minute_us, reason, at_us)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Say how far the pages of a place have been read: the time in µs of the last one, and how many there were."""

    time_us: int = -1
    records: int = 0


class State:
    """Keep minutes, cursors and tombstones of all robots of one hop.

    A file that is lost, damaged or of another version is started over: the pages at both ends tell all of it again.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._db = self._open()

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def change(self) -> Iterator[None]:
        """Make all changes of a block, or none: a cursor moves only with what it has passed."""
        try:
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._recover(error)
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    # -- cursors, watermarks, tombstones --------------------------------------------------------------------------

    def cursor(self, side: str, robot: str) -> Cursor:
        """Return how far one side's pages about a robot have been read."""
        rows = self._rows("SELECT time_us, records FROM cursor WHERE side = ? AND robot = ?", side, robot)
        return Cursor(*rows[0]) if rows else Cursor()

    def move(self, side: str, robot: str, cursor: Cursor) -> None:
        """Note how far one side's pages have been read."""
        self._do("INSERT OR REPLACE INTO cursor VALUES (?, ?, ?, ?)", side, robot, cursor.time_us, cursor.records)

    def told_until(self, robot: str, cls: str) -> dict[str, int]:
        """Return per stream the start in µs of the newest minute that the source has told."""
        return dict(self._rows("SELECT stream, until_us FROM told WHERE robot = ? AND cls = ?", robot, cls))

    def tell_until(self, robot: str, cls: str, stream: str, minute_us: int) -> None:
        """Note that the source has told a minute of a stream."""
        self._do(
            "INSERT INTO told VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET until_us = max(until_us, excluded.until_us)",
            robot, cls, stream, minute_us,
        )  # fmt: skip

    def bury(self, robot: str, stone: Tombstone) -> None:
        """Note that a person deleted records."""
        self._do(
            "INSERT OR IGNORE INTO stone VALUES (?, ?, ?, ?, ?, ?, ?)",
            robot, stone.cls, stone.stream, stone.start_us, stone.stop_us, stone.by, stone.site,
        )  # fmt: skip

    def stones_at(self, robot: str, cls: str, site: str) -> tuple[Tombstone, ...]:
        """Return the tombstones of a robot's class at a site."""
        sql = "SELECT site, cls, stream, start_us, stop_us, by FROM stone WHERE robot = ? AND cls = ? AND site = ?"
        rows = self._rows(sql, robot, cls, site)
        return tuple(Tombstone(*row) for row in rows)

    def give_up(self, robot: str, gone: Removal) -> bool:
        """Note that a robot removed records of a minute; tell whether that is new."""
        sql = "INSERT OR IGNORE INTO removal VALUES (?, ?, ?, ?, ?, ?, ?)"
        found = self._db.execute(
            sql, (robot, gone.cls, gone.stream, gone.minute_us, gone.reason, gone.at_us, gone.undelivered)
        )
        return found.rowcount > 0

    def given_up(self, robot: str, key: Key) -> int:
        """Return how many selected records of a minute the robot removed undelivered."""
        sql = "SELECT total(undelivered) FROM removal WHERE robot = ? AND cls = ? AND stream = ? AND minute_us = ?"
        return int(self._rows(sql, robot, *key)[0][0])

    def is_thinned(self, robot: str, key: Key) -> bool:
        """Tell whether the robot removed records of a minute."""
        sql = "SELECT 1 FROM removal WHERE robot = ? AND cls = ? AND stream = ? AND minute_us = ? LIMIT 1"
        return bool(self._rows(sql, robot, *key))

    def start_over(self, robot: str, signature: str) -> bool:
        """Read a robot's pages from the beginning when its hops are others than before; tell whether it is so.

        What was said of a minute is kept, so that it can be taken back.
        """
        if self._rows("SELECT 1 FROM hops WHERE robot = ? AND signature = ?", robot, signature):
            return False
        self._do("INSERT OR REPLACE INTO hops VALUES (?, ?)", robot, signature)
        self.read_again(robot)
        return True

    def read_again(self, robot: str) -> None:
        """Forget what a robot's pages told, so that they can be read from the beginning."""
        self._do("DELETE FROM cursor WHERE robot = ? AND side IN ('here', 'there')", robot)
        self._do("DELETE FROM told WHERE robot = ?", robot)
        self._do("DELETE FROM removal WHERE robot = ?", robot)
        self._do("DELETE FROM minute WHERE robot = ? AND standing IS NULL", robot)
        self._do(
            "UPDATE minute SET state = 0, told = '0 0 0', last = '0 0 0', partial = 0, cloud = 0, there = NULL,"
            " cloud_there = 0, once = 0, told_us = 0, there_us = 0 WHERE robot = ?",
            robot,
        )

    # -- minutes --------------------------------------------------------------------------------------------------

    def minute(self, robot: str, key: Key) -> Minute | None:
        """Return one minute, or None if nothing was told of it."""
        rows = self._rows(
            "SELECT * FROM minute WHERE robot = ? AND cls = ? AND stream = ? AND minute_us = ?", robot, *key
        )
        return from_row(rows[0]) if rows else None

    def open(self, robot: str | None = None, cls: str | None = None) -> list[Minute]:
        """Return the open minutes of a robot's class, or all, the oldest first."""
        asked = {"robot": robot, "cls": cls}
        chosen = {name: value for name, value in asked.items() if value is not None}
        where = "".join(f" AND {name} = ?" for name in chosen)
        rows = self._rows(f"SELECT * FROM minute WHERE state = 0{where} ORDER BY minute_us", *chosen.values())
        return [minute for row in rows if (minute := from_row(row)).told.records]

    def doubt(self, robot: str, stream: tuple[str, str], start_us: int, stop_us: int, now_us: int) -> int:
        """Open the proven minutes of a (class, stream) within a range again; return how many."""
        sql = (
            "UPDATE minute SET state = 0, since_us = ? WHERE state = 1 AND robot = ? AND cls = ? AND stream = ?"
            " AND minute_us >= ? AND minute_us < ?"
        )
        return self._db.execute(sql, (now_us, robot, *stream, start_us, stop_us)).rowcount

    def unsaid(self, robot: str) -> list[Minute]:
        """Return the proven minutes of a robot of which something else was said last."""
        sql = "SELECT * FROM minute WHERE state = 1 AND standing IS NOT NULL AND robot = ?"
        return [from_row(row) for row in self._rows(sql, robot)]

    def doubt_since(self, since_us: int, now_us: int) -> int:
        """Open again what was proven since a moment; return how many minutes."""
        return self._db.execute(
            "UPDATE minute SET state = 0, since_us = ? WHERE state = 1 AND since_us >= ?", (now_us, since_us)
        ).rowcount

    def proven_records(self, robot: str, cls: str) -> dict[str, int]:
        """Return per stream of a robot's class how many records its proven minutes hold."""
        sql = (
            "SELECT stream, sum(CAST(told AS INTEGER)) FROM minute WHERE state = 1 AND robot = ? AND cls = ? GROUP BY 1"
        )
        return dict(self._rows(sql, robot, cls))

    def proven(self, robot: str, cls: str, stream: str, start_us: int, count: int) -> list[Minute]:
        """Return the first proven minutes of a stream from a time in µs on, in order."""
        sql = (
            "SELECT * FROM minute WHERE state = 1 AND robot = ? AND cls = ? AND stream = ? AND minute_us >= ?"
            " ORDER BY minute_us LIMIT ?"
        )
        return [from_row(row) for row in self._rows(sql, robot, cls, stream, start_us, count)]

    def any_proven(self, count: int) -> list[Minute]:
        """Return a few proven minutes by chance."""
        rows = self._rows("SELECT * FROM minute WHERE state = 1 ORDER BY random() LIMIT ?", count)
        return [from_row(row) for row in rows]

    def put(self, minute: Minute) -> None:
        """Note what is known of a minute now."""
        row = to_row(minute)
        self._do(f"INSERT OR REPLACE INTO minute VALUES ({', '.join('?' * len(row))})", *row)

    def forget(self) -> None:
        """Let the oldest proven minutes go when there are too many."""
        ((count,),) = self._rows("SELECT count(*) FROM minute WHERE state = 1") or [(0,)]
        if count <= REMEMBERED:
            return
        rows = self._rows(
            "SELECT minute_us FROM minute WHERE state = 1 ORDER BY minute_us LIMIT 1 OFFSET ?", count - REMEMBERED
        )
        self._do("DELETE FROM minute WHERE state = 1 AND minute_us < ?", rows[0][0])
        self._do("DELETE FROM removal WHERE minute_us < ?", rows[0][0])

    # -- the file -------------------------------------------------------------------------------------------------

    def _rows(self, sql: str, *values: Any) -> list[Any]:
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.DatabaseError as error:
            self._recover(error)
            return self._db.execute(sql, values).fetchall()

    def _do(self, sql: str, *values: Any) -> None:
        self._db.execute(sql, values)

    def _recover(self, error: sqlite3.DatabaseError) -> None:
        """Start over when the file is damaged; say so when it only cannot be written just now."""
        with suppress(sqlite3.Error):
            self._db.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            raise FleetboxError(
                f"the reconciler cannot note its state in {self._path}: {error}", "is the disk full, or read-only?"
            ) from error
        log.warning("the reconciler's state is damaged and started over", path=str(self._path), why=str(error))
        self._db.close()
        self._remove()
        self._db = self._open()
        raise StartedOver(f"the reconciler's state in {self._path} was damaged and is started over") from error

    def _open(self) -> sqlite3.Connection:
        if self._path is None:
            return self._fresh(":memory:")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for _ in range(2):
            try:
                return self._fresh(str(self._path))
            except sqlite3.DatabaseError as error:
                log.warning("the reconciler's state is started over", path=str(self._path), why=str(error))
                self._remove()
        return self._fresh(":memory:")

    def _fresh(self, where: str) -> sqlite3.Connection:
        db = sqlite3.connect(where, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # a power cut may take the last changes: they are told again
            ((version,),) = db.execute("PRAGMA user_version").fetchall()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"its tables are of version {version}")
            if version == 0:
                db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
            ((verdict,),) = db.execute("PRAGMA quick_check(1)").fetchall()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
        except BaseException:
            db.close()
            raise
        return db

    def _remove(self) -> None:
        assert self._path is not None
        for tail in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self._path}{tail}").unlink(missing_ok=True)


class StartedOver(FleetboxError):
    """Tell that what was known is gone: what was being done with it is done again."""
