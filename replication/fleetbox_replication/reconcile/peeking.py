"""Look into a reconciler's state from another process: which minutes the next site is proven to hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from fleetbox.ledger import Count, Key
from fleetbox.naming import Class
from fleetbox_replication.reconcile.minute import PROVEN, from_row
from fleetbox_replication.reconcile.state import VERSION

BUSY_S = 5.0  # the reconciler holds its file for a moment at a time


class Proven:
    """Tell of the minutes that were proven when it was read; `known` is False where there is no state to read."""

    def __init__(self, counts: dict[Key, tuple[Count, ...]] | None) -> None:
        self._counts = counts or {}
        self.known = counts is not None

    def holds(self, key: Key, selected: Count) -> bool:
        """Tell whether exactly these records of a stream's minute are proven to be at the next site.

        What was selected since the proof makes the count another one: then the minute is not.
        """
        return selected in self._counts.get(key, ())

    def records(self, cls: Class, stream: str) -> int:
        """Count the records of a stream in its proven minutes."""
        return sum(counts[0].records for key, counts in self._counts.items() if key[:2] == (cls, stream))


def read_proven(file: Path | None, robot: str) -> Proven:
    """Read what a reconciler has noted; a file that is not there, or cannot be read, proves nothing."""
    if file is None or not file.exists():
        return Proven(None)
    try:
        with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as db:
            if db.execute("PRAGMA user_version").fetchone() != (VERSION,):
                return Proven(None)
            rows = db.execute("SELECT * FROM minute WHERE state = ? AND robot = ?", (PROVEN, robot))
            minutes = [from_row(row) for row in rows]
    except sqlite3.Error:
        return Proven(None)
    return Proven({minute.key: (minute.told, minute.last) for minute in minutes})
