"""Count heads into lines: one pass over a listing, memory for its minutes and not for its records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import cast

from fleetbox.labels import PIN
from fleetbox.ledger import MINUTE_US, Count, Line, Span, fingerprint
from fleetbox.naming import RING_CLASSES, Class
from fleetbox.records import Head

_WORD = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Counted:
    """Hold a line as it was listed, and until when its rows reach in µs: the last `t_end`, else the last record.

    0 where that is not known.
    """

    line: Line
    covered_us: int


class Tally:
    """Count the records of one class by stream and minute.

    `until_us` gives a time per stream: how many records lie after it is in `ahead`.
    """

    def __init__(self, cls: Class, until_us: Mapping[str, int] | None = None) -> None:
        self._cls = cls
        self._whole = cls not in RING_CLASSES  # such classes travel whole, whatever their labels say
        self._until_us = until_us or {}
        self._minutes: dict[tuple[str, int], _Minute] = {}
        self.ahead: dict[str, int] = {}

    def add(self, head: Head) -> None:
        """Count one record; what a pin copied is counted where it came from."""
        if PIN in head.labels and self._cls == "kept":
            return
        at = head.entry, head.time_us - head.time_us % MINUTE_US
        minute = self._minutes.get(at)
        if minute is None:
            minute = self._minutes[at] = _Minute()
        keep = head.labels.get("keep")
        minute.add(head, self._whole or bool(keep), self._whole or keep == "1")
        if head.time_us > self._until_us.get(head.entry, head.time_us):
            self.ahead[head.entry] = self.ahead.get(head.entry, 0) + 1

    def counted(self) -> Iterator[Counted]:
        """Yield every minute that has records."""
        for (stream, minute_us), minute in self._minutes.items():
            yield Counted(minute.line(self._cls, stream, minute_us), minute.covered_us)


class _Minute:
    """Add up one stream's minute; plain attributes, because this runs for every record of a store."""

    __slots__ = ("cloud", "covered_us", "first_us", "held", "keep", "last_us", "rows", "sessions")

    def __init__(self) -> None:
        self.held, self.keep, self.cloud = [0, 0, 0], [0, 0, 0], [0, 0, 0]
        self.rows = 0
        self.first_us = self.last_us = self.covered_us = -1
        self.sessions: dict[str, list[int]] = {}  # session -> [first number, next number, rows]

    def add(self, head: Head, keep: bool, cloud: bool) -> None:
        labels, time_us = head.labels, head.time_us
        mark = fingerprint(time_us, head.size, labels.get("xxh", ""))
        for sums, chosen in ((self.held, True), (self.keep, keep), (self.cloud, cloud)):
            if chosen:
                sums[0] += 1
                sums[1] += head.size
                sums[2] += mark
        rows = _number(labels.get("rows"), 1)
        self.rows += rows
        self.first_us = time_us if self.first_us < 0 else min(self.first_us, time_us)
        self.last_us = max(self.last_us, time_us)
        self.covered_us = max(self.covered_us, time_us, _number(labels.get("t_end"), 0))
        seq = _number(labels.get("seq"), -1)
        if seq >= 0 and (session := labels.get("session")):
            self._number(session, seq, rows)

    def _number(self, session: str, seq: int, rows: int) -> None:
        span = self.sessions.get(session)
        if span is None:
            self.sessions[session] = [seq, seq + rows, rows]
            return
        span[0] = min(span[0], seq)
        span[1] = max(span[1], seq + rows)
        span[2] += rows

    def line(self, cls: Class, stream: str, minute_us: int) -> Line:
        held, keep, cloud = (Count(sums[0], sums[1], sums[2] & _WORD) for sums in (self.held, self.keep, self.cloud))
        spans = tuple(
            Span(session, first, after, rows) for session, (first, after, rows) in sorted(self.sessions.items())
        )
        return Line(cls, stream, minute_us, held, keep, cloud, self.rows, self.first_us, self.last_us, spans)


def empty_line(cls: str, stream: str, minute_us: int, missing: int = 0) -> Line:
    """Return the line of a minute that holds nothing."""
    none = Count()
    return Line(cast(Class, cls), stream, minute_us, none, none, none, 0, minute_us, minute_us, missing=missing)


def _number(text: str | None, default: int) -> int:
    """Read a label; a foreign record may have anything there."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else default
