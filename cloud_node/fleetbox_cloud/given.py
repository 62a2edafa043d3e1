"""Keep the books of what InfluxDB was given, per stream and minute of the rows' own time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fleetbox.ledger import MINUTE_US
from fleetbox.tallies import Minutes, Tally, merge

TABLES = """
CREATE TABLE IF NOT EXISTS minutes (
    entry INTEGER, minute INTEGER, rows INTEGER, points INTEGER, vals INTEGER, PRIMARY KEY (entry, minute)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS refusals (
    entry INTEGER, minute INTEGER, reason TEXT, n INTEGER, PRIMARY KEY (entry, minute, reason)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS words (entry INTEGER, reason TEXT, message TEXT, PRIMARY KEY (entry, reason)) WITHOUT ROWID;
"""
_ADD = """
INSERT INTO minutes VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET rows = rows + excluded.rows, points = points + excluded.points, vals = vals + excluded.vals
"""
_REFUSE = "INSERT INTO refusals VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET n = n + excluded.n"
_RANGE = "entry = ? AND minute >= ? AND minute < ?"


@dataclass(frozen=True, slots=True)
class Refused:
    """Say how much of an entry was refused for one reason, from which minute to which, and InfluxDB's last words."""

    entry: int
    reason: str
    n: int
    first_us: int
    last_us: int
    message: str


class Given:
    """Keep tallies by entry number and minute in a SQLite file that is somebody else's; the caller commits.

    A minute takes 25 bytes, one with refusals some 20 more per reason.
    """

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def add(self, entry: int, minutes: Mapping[int, Tally], words: Mapping[str, str]) -> None:
        """Add to an entry's minutes; `words` are InfluxDB's own by reason, the last ones stay."""
        rows = [(entry, at // MINUTE_US, one.rows, one.points, one.values) for at, one in minutes.items()]
        self._db.executemany(_ADD, rows)
        refused = [(entry, at // MINUTE_US, *item) for at, one in minutes.items() for item in one.refused.items()]
        self._db.executemany(_REFUSE, refused)
        self._db.executemany(
            "INSERT OR REPLACE INTO words VALUES (?, ?, ?)", [(entry, *item) for item in words.items()]
        )

    def remove(self, entry: int, start_us: int, stop_us: int) -> None:
        """Forget an entry's minutes from start to stop (excluded)."""
        span = (entry, start_us // MINUTE_US, stop_us // MINUTE_US)
        for table in ("minutes", "refusals"):
            self._db.execute(f"DELETE FROM {table} WHERE {_RANGE}", span)

    def read(self, entries: Iterable[int], start_us: int, stop_us: int) -> Minutes:
        """Return the minutes from start to stop (excluded), those of all entries added up."""
        found: Minutes = {}
        for entry in entries:
            span = (entry, start_us // MINUTE_US, stop_us // MINUTE_US)
            refused: dict[int, dict[str, int]] = {}
            for minute, reason, n in self._db.execute(f"SELECT minute, reason, n FROM refusals WHERE {_RANGE}", span):
                refused.setdefault(minute, {})[reason] = n
            rows = self._db.execute(f"SELECT minute, rows, points, vals FROM minutes WHERE {_RANGE}", span)
            merge(
                found, {at * MINUTE_US: Tally(n, points, values, refused.get(at, {})) for at, n, points, values in rows}
            )
        return found

    def sum(self, entry: int, start_us: int, stop_us: int) -> Tally:
        """Return an entry's minutes from start to stop (excluded) as one tally."""
        span = (entry, start_us // MINUTE_US, stop_us // MINUTE_US)
        sums = "ifnull(sum(rows), 0), ifnull(sum(points), 0), ifnull(sum(vals), 0)"
        rows, points, values = self._db.execute(f"SELECT {sums} FROM minutes WHERE {_RANGE}", span).fetchone()
        refused = self._db.execute(f"SELECT reason, sum(n) FROM refusals WHERE {_RANGE} GROUP BY reason", span)
        return Tally(rows, points, values, dict(refused))

    def refused(self) -> list[Refused]:
        """Return per entry and reason what was refused of the minutes that are still in the books."""
        rows = self._db.execute(
            "SELECT r.entry, r.reason, sum(r.n), min(r.minute), max(r.minute), coalesce(w.message, '') FROM refusals r "
            "LEFT JOIN words w ON w.entry = r.entry AND w.reason = r.reason GROUP BY r.entry, r.reason"
        )
        return [
            Refused(entry, reason, n, first * MINUTE_US, last * MINUTE_US, message)
            for entry, reason, n, first, last, message in rows
        ]
