"""One record on its way from the spool into the store, and how it becomes a draft."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from typing import Any

import msgpack
import xxhash

from fleetbox.labels import Labels
from fleetbox.records import Draft
from fleetbox_edge.packing import Shape, count_rows, first_time, merge, row_time
from fleetbox_edge.spool import HEADER, Segment
from fleetbox_edge.spool.frames import payload_at


class Gone(Exception):
    """Say that the spool cannot give a parcel back: it had to give it up, or the disk damaged it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Say where a record belongs and what stands on it whatever its bytes are."""

    session: str
    cls: str
    stream: str
    type: str
    content_type: str
    labels: Labels = field(default_factory=dict)  # the user's own, checked


@dataclass(eq=False, slots=True)
class Parcel:
    """Carry one blob (rows = 0) or one chunk; `seq` is its first number in stream and session.

    The payload is `body`, or made from `parts` (row payloads of `shape`, or Arrow pieces without one),
    or, when memory is short, read back from `place` in the spool.
    """

    address: Address
    seq: int
    time_us: int
    stop_us: int
    rows: int
    size: int
    body: bytes | None = None
    shape: Shape | None = None
    parts: list[bytes] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    place: tuple[Segment, int] | None = None
    number: int = 0
    held: int = 0  # bytes of memory it is charged for
    state: str = "waiting"  # -> taken -> sending (and back to taken) -> done | lost
    doomed: str = ""  # why the spool gave it up while it was being sent: it is lost unless that succeeds
    again: bool = False  # somebody may have begun to send it before: a cut attempt can hide it from queries
    torn: bool = False  # the store holds half of it, from a writer that was killed: to be healed when that is old
    kept: Labels | None = None  # by the policy it was accepted under, once another holds; None: by the present one
    rest: Parcel | None = None  # rows that the store's own, shorter copy lacks: sent as a parcel of their own
    probe: tuple[int, int, int] | None = None  # (key, seq, rows) of a chunk it was part of, before rows were damaged

    @property
    def count(self) -> int:
        """Return how many numbers of `seq` it uses up."""
        return max(1, self.rows)

    def payload(self) -> bytes:
        """Return the record's bytes; raises Gone when the spool had to drop them."""
        body, parts = self.body, self.parts  # the account may be closed from another thread meanwhile
        if body is not None:
            return body
        if parts:
            return self.shape.chunk(parts) if self.shape else merge(parts)
        return self._read_back()

    def unsettled(self) -> Parcel | None:
        """Return the parcel while its account is open, then the rest that the store's own copy lacked, if any."""
        if self.state not in ("done", "lost"):
            return self
        return self.rest.unsettled() if self.rest else None

    def draft(self, robot: str, kept: Labels) -> Draft:
        """Return the record as it is written."""
        data, to = self.payload(), self.address
        kept = kept if self.kept is None else self.kept
        labels: Labels = {
            "robot": robot, "type": to.type, "session": to.session, "seq": str(self.seq),
            "xxh": xxhash.xxh3_64_hexdigest(data),
        }  # fmt: skip
        if self.rows:
            labels |= {"rows": str(self.rows), "t_end": str(self.stop_us)}
        return Draft(to.stream, self.time_us, data, {**to.labels, **labels, **kept}, to.content_type)

    def tail(self, rows: int) -> Parcel | None:
        """Return what follows the first rows as a chunk of its own, or None when they end within a piece."""
        parts, skipped = list(self.parts), 0
        while parts and skipped < rows:
            skipped += 1 if self.shape else count_rows(parts[0])
            del parts[0]
        if skipped != rows or not parts:
            return None
        first_us = row_time(parts[0]) if self.shape else first_time(parts[0])
        left = self.rows - rows
        return replace(self, seq=self.seq + rows, time_us=first_us, rows=left, parts=parts, state="waiting", held=0)

    def frame(self, body: bytes) -> bytes:
        """Return it as the spool keeps a finished record; the bytes stand last."""
        to = self.address
        fixed = [to.session, to.stream, to.type, to.content_type, to.labels]
        packed: bytes = msgpack.packb(["unit", *fixed, self.seq, self.rows, self.time_us, self.stop_us, body])
        return packed

    def _read_back(self) -> bytes:
        if self.place is None:
            raise Gone
        segment, offset = self.place
        try:
            with segment.path.open("rb") as file:
                file.seek(offset)
                head = file.read(HEADER.size)
                payload = payload_at(head + file.read(HEADER.unpack(head)[1]))
                body: Any = msgpack.unpackb(payload)[-1] if payload else None
        except (OSError, ValueError, struct.error) as error:
            raise Gone from error
        if not isinstance(body, bytes):
            raise Gone
        return body
