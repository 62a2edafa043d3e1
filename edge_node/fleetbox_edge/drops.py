"""Write down what had to be given up, so that neither a kill nor a full disk makes a drop forgotten."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack

from fleetbox.ledger import Drop
from fleetbox_edge.spool.frames import HEADER, scan
from fleetbox_edge.spool.segments import Segment

SUFFIX = ".drops"
FILE_BYTES = 128 << 10  # about 400 ranges: reserved at the start, as drops come when disks are full
MOST_FILES = 64  # 8 MB, about 25,000 ranges; further ones live in memory
MOST_RANGES = 100_000  # 40 MB of memory; further ones are counted only, and their gap in the numbers shows
MOST_TOLD = 2_000  # ranges in one page of the ledger: about 30 kB
_NUMBERS = struct.Struct(">QQqB")  # first, rows, stamp in µs, state: always the same length, written over in place
_GROWING, _CLOSED, _TOLD = range(3)

Key = tuple[str, str, str, str]  # class, stream, session, reason


@dataclass(eq=False, slots=True)
class Entry:
    """Hold one range and where it is written down."""

    drop: Drop
    state: int = _GROWING
    segment: Segment | None = None
    offset: int = 0

    def payload(self) -> bytes:
        """Return it as it is written down; the length never changes."""
        drop = self.drop
        numbers = _NUMBERS.pack(drop.first, drop.rows, drop.time_us, self.state)
        payload: bytes = msgpack.packb(["drop", drop.cls, drop.stream, drop.session, drop.reason, numbers])
        return payload

    def write(self) -> None:
        """Write it twice, one after the other: whenever the process is killed, one of them is whole."""
        if self.segment is not None and not self.segment.closed:
            self.segment.put(self.offset + self.segment.put(self.offset, payload := self.payload()), payload)


class DropBook:
    """Count drops by reason, and remember their numbers until the ledger has them.

    Numbers that follow on those of the same stream, session and reason join into one range. A range that the ledger is
    about to be told of grows no more: told again after a kill, it is the same. Not thread-safe: the session's lock
    guards it. Without `keep_in` it lives in memory alone.
    """

    def __init__(self) -> None:
        self.lost: Counter[str] = Counter()  # reason -> rows and blobs
        self._folder: Path | None = None
        self._made = 0
        self._segments: list[Segment] = []
        self._growing: dict[Key, Entry] = {}
        self._closed: list[Entry] = []

    def keep_in(self, folder: Path) -> None:
        """Write ranges to files in a folder from now on; raises OSError when there is no room for the first."""
        self._folder = folder
        self._add_file()

    @property
    def due(self) -> bool:
        """Tell whether the ledger lacks something."""
        return bool(self._growing or self._closed)

    def note(self, drop: Drop) -> None:
        """Count a drop and write it down."""
        self.lost[drop.reason] += drop.rows
        self._write_down(drop)

    def adopt(self, drops: Iterable[Drop]) -> None:
        """Take over what a dead process had no time to tell, as it stands: it may have been told in part."""
        for drop in drops:
            entry = Entry(drop, _CLOSED)
            self._place(entry)
            self._closed.append(entry)

    def take(self) -> list[Entry]:
        """Close what grows and return the oldest ranges that are to be told."""
        for entry in self._growing.values():
            entry.state = _CLOSED
            entry.write()
            self._closed.append(entry)
        self._growing.clear()
        return self._closed[:MOST_TOLD]

    def told(self, entries: Iterable[Entry]) -> None:
        """Forget ranges that the ledger has; on disk they stay, for whoever finds a gap in a dead process's spool."""
        gone = set(entries)
        for entry in gone:
            entry.state = _TOLD
            entry.write()
            if entry.segment is not None:
                entry.segment.units.discard(entry)
        self._closed = [entry for entry in self._closed if entry not in gone]

    def close(self) -> bool:
        """Let go of the files; return whether nothing is left to tell."""
        for segment in self._segments:
            segment.release()
        return not self.due

    def _write_down(self, drop: Drop) -> None:
        if len(self._closed) > MOST_RANGES:
            return
        key = (drop.cls, drop.stream, drop.session, drop.reason)
        entry = self._growing.get(key)
        if entry is not None and entry.drop.first + entry.drop.rows == drop.first:
            entry.drop = replace(entry.drop, rows=entry.drop.rows + drop.rows)
            entry.write()
            return
        if entry is not None:
            entry.state = _CLOSED
            entry.write()
            self._closed.append(entry)
        self._growing[key] = entry = Entry(drop)
        self._place(entry)

    def _place(self, entry: Entry) -> None:
        """Give an entry its place in a file; without one it is remembered as long as this process lives."""
        need = 2 * (len(entry.payload()) + HEADER.size)
        if self._segments and not self._segments[-1].has_room(need):
            try:
                self._add_file()
            except OSError:
                return  # a full disk: the gap in the numbers still shows
        segment = self._segments[-1] if self._segments else None
        if segment is None or segment.closed or not segment.has_room(need):
            return
        entry.segment, entry.offset = segment, segment.offset
        segment.offset += need
        segment.units.add(entry)
        entry.write()

    def _add_file(self) -> None:
        if len(self._segments) >= MOST_FILES:
            oldest = self._segments[0]
            if not oldest.idle:
                return
            oldest.release()
            oldest.path.unlink(missing_ok=True)
            del self._segments[0]
        if self._folder is None:
            return
        self._made += 1
        self._segments.append(Segment(self._folder / f"{self._made:08d}{SUFFIX}", FILE_BYTES))


def read_drops(data: bytes) -> list[tuple[Drop, bool]]:
    """Return the ranges of one file, each as far as it had grown, and whether the ledger has it."""
    found: dict[tuple[Key, int], tuple[int, int, Drop]] = {}
    for _, payload in scan(data):
        body = msgpack.unpackb(payload)
        if body[0] != "drop":
            continue
        _, cls, stream, session, reason, numbers = body
        first, rows, time_us, state = _NUMBERS.unpack(numbers)
        key = ((cls, stream, session, reason), first)
        drop = Drop(cls, stream, session, first, rows, reason, time_us)
        if key not in found or (state, rows) > found[key][:2]:
            found[key] = (state, rows, drop)
    return [(drop, state == _TOLD) for state, _, drop in found.values()]
