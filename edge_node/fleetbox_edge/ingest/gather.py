"""Gather one stream's messages into the records that are written: rows into chunks, the rest one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import xxhash
from mcap.records import Message

from fleetbox import chunks, types
from fleetbox.labels import Labels
from fleetbox.records import MAX_RECORD_BYTES, Draft
from fleetbox_edge.ingest.decoding import Blob, Decoder, Row
from fleetbox_edge.ingest.report import IngestReport, StreamCount
from fleetbox_edge.ingest.stamps import Stamps

_MAX_NS = 2**63 - 1  # what an int64 column holds: the year 2262


@dataclass(frozen=True, slots=True)
class Source:
    """Say what is ingested into where, as every record of it is labelled; clock is "log" or "header"."""

    robot: str
    session: str
    clock: str = "log"
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Stamped:
    time_us: int
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes
    row: Row


class Gatherer:
    """Cut one stream's messages into records, always the same way for the same messages."""

    def __init__(self, stream: str, decoder: Decoder, source: Source, report: IngestReport, count: StreamCount) -> None:
        self.stream = stream
        self.count = count
        self.fields: dict[str, dict[str, Any]] = {}  # as the chunks so far have them
        self._decoder = decoder
        self._source = source
        self._report = report
        self._open: list[_Stamped] = []
        self._open_bytes = 0
        self._span = (0, 0)
        self._suspect = False
        self._seq = 0
        self._keys = Stamps()
        self._last_us = self._last_wished_us = -1  # of the chunk before, bumped and not

    def take(self, message: Message, suspect: bool) -> list[Draft]:
        """Take the next message; return the records that are complete now."""
        if max(message.log_time, message.publish_time) > _MAX_NS:
            self._report.fail(f"{self.stream}: a message's time lies beyond the year 2262")
            return []
        made = self._decoder.decode(message.data)
        wished_us = self._time_ns(message, _within_int64(made.header_ns)) // 1000
        self._report.suspect += suspect
        if isinstance(made, Blob):
            drafts = self.close()
            self.count.saw(wished_us)
            return [*drafts, *self._blob(message, made, wished_us, suspect)]
        drafts = [] if self._fits(wished_us, made.size_bytes, suspect) else self.close()
        self.count.saw(wished_us)
        self._add(_Stamped(wished_us, message.log_time, message.publish_time, message.sequence, message.data, made))
        self._suspect = suspect
        return drafts

    def close(self) -> list[Draft]:
        """Return the open chunk as a record, if there is one; rows too wide for a record follow as raw messages."""
        rows = self._stamped(sorted(self._open, key=lambda stamped: stamped.time_us))
        self._open, self._open_bytes = [], 0
        if not rows:
            return []
        data = self._chunk(rows)
        if len(data) > MAX_RECORD_BYTES:
            return [draft for stamped in rows for draft in self._record(stamped, _as_blob(stamped), self._suspect)]
        self.fields = chunks.widened(self.fields, chunks.fields(data))
        labels = {"rows": str(len(rows)), "t_end": str(rows[-1].time_us)}
        draft = self._draft(rows[0].time_us, data, "time_series", labels)
        self._seq += len(rows)
        self.count.rows += len(rows)
        self._report.rows += len(rows)
        return [draft]

    def _stamped(self, rows: list[_Stamped]) -> list[_Stamped]:
        """Give rows, in the order of their times, stamps that rise; the first is the record's key."""
        if not rows:
            return []
        wished_us = rows[0].time_us
        if self._last_wished_us <= wished_us <= self._last_us:
            wished_us = self._last_us + 1  # the chunk before was bumped up to here
        moved = []
        free_us = self._keys.take(wished_us)
        for row in rows:
            free_us = max(free_us, row.time_us)
            self._report.bumped += free_us != row.time_us
            moved.append(row if free_us == row.time_us else replace(row, time_us=free_us))
            free_us += 1
        self._last_wished_us, self._last_us = rows[-1].time_us, moved[-1].time_us
        return moved

    def _time_ns(self, message: Message, header_ns: int | None) -> int:
        """Choose the clock; a header stamp of zero is ROS for "not set"."""
        if self._source.clock == "header":
            if header_ns is not None and header_ns > 0:
                return header_ns
            self._report.headerless += 1
        return message.log_time

    def _fits(self, time_us: int, size_bytes: int, suspect: bool) -> bool:
        if not self._open:
            return True
        first, last = min(self._span[0], time_us), max(self._span[1], time_us)
        return (
            # A µs a row below the bound leaves room for bumped stamps.
            last - first < chunks.BOUND_US - len(self._open)
            and self._open_bytes + size_bytes <= chunks.MAX_BYTES
            and suspect == self._suspect
        )

    def _add(self, stamped: _Stamped) -> None:
        first, last = self._span if self._open else (stamped.time_us, stamped.time_us)
        self._span = (min(first, stamped.time_us), max(last, stamped.time_us))
        self._open.append(stamped)
        self._open_bytes += stamped.row.size_bytes

    def _chunk(self, rows: list[_Stamped]) -> bytes:
        clocks: dict[str, Any] = {
            "log_ns": [stamped.log_ns for stamped in rows],
            "publish_ns": [stamped.publish_ns for stamped in rows],
        }
        headers = [_within_int64(stamped.row.header_ns) for stamped in rows]
        if any(header is not None for header in headers):
            clocks["header_ns"] = headers
        columns = self._decoder.columns([stamped.row for stamped in rows])
        sequences = [stamped.sequence for stamped in rows]
        metadata = {"mcap_sequence": ",".join(map(str, sequences))} if any(sequences) else None
        times_us = [stamped.time_us for stamped in rows]
        return chunks.encode(times_us, columns, clocks=clocks, cdr=[s.data for s in rows], metadata=metadata)

    def _blob(self, message: Message, blob: Blob, wished_us: int, suspect: bool) -> list[Draft]:
        if len(blob.data) > MAX_RECORD_BYTES:
            self._report.fail(f"{self.stream}: a message of {len(blob.data):,} bytes is larger than one record may be")
            return []
        key_us = self._keys.take(wished_us)
        self._report.bumped += key_us != wished_us
        self._report.undecoded += blob.undecoded
        stamped = _Stamped(key_us, message.log_time, message.publish_time, message.sequence, b"", Row(None, None, 0))
        return self._record(stamped, blob, suspect)

    def _record(self, stamped: _Stamped, blob: Blob, suspect: bool) -> list[Draft]:
        labels = {"log_ns": str(stamped.log_ns), "publish_ns": str(stamped.publish_ns)}
        if blob.header_ns is not None:
            labels["header_ns"] = str(blob.header_ns)
        if stamped.sequence:
            labels["sequence"] = str(stamped.sequence)
        self._suspect = suspect
        draft = self._draft(stamped.time_us, blob.data, blob.type, labels | blob.labels)
        self._seq += 1
        return [draft]

    def _draft(self, key_us: int, data: bytes, type_name: str, own: Labels) -> Draft:
        kind = types.get(type_name)
        labels = {
            **self._source.labels,
            "robot": self._source.robot,
            "type": type_name,
            "session": self._source.session,
            "seq": str(self._seq),
            "xxh": xxhash.xxh3_64_hexdigest(data),
            **own,
        }
        if self._suspect:
            labels["suspect"] = "checksum"
        for count in (self.count, self._report):
            count.records += 1
            count.bytes += len(data)
        return Draft(self.stream, key_us, data, labels, kind.content_type_of(data))


def _as_blob(stamped: _Stamped) -> Blob:
    """Return a row too wide for a record as the message it was."""
    return Blob("file", stamped.data, _within_int64(stamped.row.header_ns))


def _within_int64(header_ns: int | None) -> int | None:
    return header_ns if header_ns is None or abs(header_ns) <= _MAX_NS else None
