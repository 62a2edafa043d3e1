"""Hand what is logged to the judge without making a caller of `log` wait."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from fleetbox import chunks
from fleetbox.tapping import Row
from fleetbox_edge.triggers.readings import TEXT_CHARS, Reading
from fleetbox_edge.triggers.rules import Rules

T = TypeVar("T")

MAX_READINGS = 10_000  # 10 s of a 1 kHz stream, about 10 MB; a judge that is further behind judges the newest
MAX_PIECES = 100  # of bulk rows, up to 256 kB each


@dataclass(frozen=True, slots=True)
class Bulk:
    """Hold many rows as the Arrow stream that was recorded."""

    stream: str
    data: bytes
    rows: int
    labels: Mapping[str, Any] | None


class Tap:
    """Hold readings that wait to be judged, bounded: the oldest give way to the newest, and are counted.

    `streams` are those that some rule needs, of all that were ever met; another one costs `log` a look at the set.
    """

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self._met: dict[str, bool] = {}
        self._rules = Rules()
        self._readings: deque[Reading] = deque()
        self._bulk: deque[Bulk] = deque()
        self._missed: dict[str, int] = {}
        self._lock = threading.Lock()
        self._watched: frozenset[str] = frozenset()  # by people, on this machine
        self._seen: deque[Reading | Bulk] = deque(maxlen=MAX_READINGS)

    def watch(self, streams: frozenset[str]) -> None:
        """Tap these streams for people who watch them, too; `seen` returns their rows."""
        if streams == self._watched:
            return
        with self._lock:
            for stream in streams:
                self._met.setdefault(stream, self._rules.wants(stream))
            self._watched = streams
            wanted = {stream for stream, needed in self._met.items() if needed}
            self.streams -= self.streams - wanted - streams
            self.streams |= wanted | streams
        if not streams:
            self._seen.clear()

    def learn(self, rules: Rules) -> None:
        """Tap the streams that these rules need."""
        with self._lock:
            self._rules = rules
            self._met = {stream: rules.wants(stream) for stream in list(self._met)}
            wanted = {stream for stream, needed in self._met.items() if needed}
            self.streams -= self.streams - wanted - self._watched
            self.streams |= wanted

    def meet(self, stream: str) -> bool:
        """Tell whether a stream is tapped, which may be new."""
        known = self._met.get(stream)
        if known is None:
            with self._lock:
                known = self._met[stream] = self._rules.wants(stream)
                if known:
                    self.streams.add(stream)
        return known or stream in self._watched

    # -- from callers of log -------------------------------------------------------------------------------------

    def row(self, stream: str, time_us: int, fields: Mapping[str, Any], labels: Mapping[str, Any] | None) -> None:
        """Take a row; it is copied, because the caller may go on with its dict."""
        reading = Reading(stream, time_us, dict(fields), labels)
        if stream in self._watched:
            self._seen.append(reading)
            if not self._met.get(stream):
                return
        self._add(reading)

    def blob(self, stream: str, time_us: int, labels: Mapping[str, Any] | None, text: bytes | None) -> None:
        """Take a record of which only labels are judged, and a log's text."""
        if not self._met.get(stream):
            return  # only watched: the store has it in a moment
        words = None if text is None else text[:TEXT_CHARS].decode(errors="replace")
        self._add(Reading(stream, time_us, None, labels and dict(labels), words))

    def bulk(self, stream: str, data: bytes, rows: int, labels: Mapping[str, Any] | None) -> None:
        """Take many rows."""
        piece = Bulk(stream, data, rows, labels and dict(labels))
        if stream in self._watched:
            self._seen.append(piece)
            if not self._met.get(stream):
                return
        self._bulk.append(piece)
        if len(self._bulk) > MAX_PIECES:
            with suppress(IndexError):
                oldest = self._bulk.popleft()
                self.miss(oldest.stream, oldest.rows)

    def _add(self, reading: Reading) -> None:
        self._readings.append(reading)
        if len(self._readings) > MAX_READINGS:
            with suppress(IndexError):  # the judge was faster
                self.miss(self._readings.popleft().stream, 1)

    def miss(self, stream: str, records: int) -> None:
        """Count records that are not going to be judged."""
        with self._lock:
            self._missed[stream] = self._missed.get(stream, 0) + records

    # -- to the judge --------------------------------------------------------------------------------------------

    def take(self) -> Iterator[Reading]:
        """Yield what waits, with the fields that rules read."""
        reads: dict[str, frozenset[str] | None] = {}
        while (reading := _first(self._readings)) is not None:
            yield reading
        while (piece := _first(self._bulk)) is not None:
            if piece.stream not in reads:
                reads[piece.stream] = self._rules.reads(piece.stream)
            yield from unpacked(piece, reads[piece.stream])

    def seen(self) -> Iterator[Row]:
        """Yield the rows of watched streams since the last call; the oldest have given way to many."""
        while (one := _first(self._seen)) is not None:
            for reading in unpacked(one, None) if isinstance(one, Bulk) else (one,):
                yield Row(reading.stream, reading.time_us, reading.fields or {}, reading.labels)

    def missed(self) -> dict[str, int]:
        """Return and forget how many records of each stream gave way."""
        if not self._missed:
            return {}
        with self._lock:
            missed, self._missed = self._missed, {}
        return missed


def _first(waiting: deque[T]) -> T | None:
    try:
        return waiting.popleft()
    except IndexError:
        return None


def unpacked(piece: Bulk, reads: frozenset[str] | None) -> Iterator[Reading]:
    """Yield the rows of a piece."""
    table = chunks.table(piece.data)
    times = table.column(chunks.TIME).cast("int64").to_pylist()
    names = [name for name in table.column_names if name not in chunks.RESERVED_COLUMNS]
    names = [name for name in names if reads is None or name.partition(".")[0] in reads]
    columns = [table.column(name).to_pylist() for name in names]
    for at, time_us in enumerate(times):
        fields = {name: column[at] for name, column in zip(names, columns, strict=True)}
        yield Reading(piece.stream, time_us, fields, piece.labels)


def only(reading: Reading, reads: frozenset[str] | None) -> Reading:
    """Return a reading with the fields that rules read, as plain values."""
    fields = reading.fields
    if fields is None:
        return reading
    kept = {name: plain(value) for name, value in fields.items() if reads is None or name.partition(".")[0] in reads}
    return Reading(reading.stream, reading.time_us, kept, reading.labels, reading.text)


def plain(value: Any) -> Any:
    """Return numpy's scalars as Python's: neither CEL nor msgpack takes them."""
    return value.item() if hasattr(value, "item") else value
