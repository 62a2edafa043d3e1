"""What a session remembers of one stream: its next number, its last stamp, the chunk that is growing."""

from __future__ import annotations

import struct
from collections.abc import Callable
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from fleetbox_edge.packing import Shape
from fleetbox_edge.parcels import Address
from fleetbox_edge.spool import HEADER, MAGIC, Segment

if TYPE_CHECKING:
    from fleetbox_edge.ram_ring import RamRing

RECENT_KEYS = 8_192  # minutes of a camera; a clash with an older key is resolved by the writer, at the store
NEVER = -1
JITTER_US = 1_000_000  # rows without a time follow a stream this far ahead of the clock; beyond, a stamp was odd


class Lane:
    """Hold the state of one stream within one session; the session's lock guards it."""

    __slots__ = (
        "address", "bools", "bumped", "close_at", "first_seq", "frame_bytes", "frame_head", "given", "keys", "known",
        "last", "last_given", "limit", "loose", "opened_us", "opens", "pack", "parts", "pick", "ring", "row_head",
        "row_tail", "seal_at", "segment", "seq", "shape", "size", "turned", "width",
    )  # fmt: skip

    def __init__(self, address: Address) -> None:
        self.address = address
        self.seq = 0  # of the next row or blob
        self.last = NEVER  # newest stamp of the stream
        self.last_given = NEVER  # the newest as the caller gave it, before a bump
        self.keys: dict[int, None] = {}  # those of its latest records
        self.turned = False  # whether time ever ran backward: only then can keys clash
        self.bumped = 0
        self.given: dict[str, Any] | None = None  # labels as last given, so that they are checked once
        self.ring: RamRing | None = None  # where the stream circles instead of going to the spool
        # the shape of rows
        self.known: dict[str, str] = {}  # kinds of fields: once a float, always a float
        self.loose = False
        self.shape: Shape | None = None
        self.width = NEVER  # fields of a row that may take the short way
        self.pick: Callable[[dict[str, Any]], tuple[Any, ...]] = itemgetter("", "")
        self.bools: tuple[int, ...] = ()  # which values must be checked: struct takes anything as a truth value
        self.pack: Callable[..., bytes] = struct.pack
        self.row_head = self.row_tail = self.frame_head = b""
        self.frame_bytes = 0
        self.limit = 1
        # the growing chunk
        self.parts: list[bytes] = []
        self.opens: list[Segment] = []  # segments that hold a part of it
        self.segment: Segment | None = None  # where this shape has been written
        self.first_seq = 0
        self.seal_at = 0  # the number at which the chunk is full
        self.size = 0
        self.opened_us = 0  # by the session's clock
        self.close_at = NEVER  # stamp from which a row belongs to the next chunk; NEVER while none is open

    @property
    def rows(self) -> int:
        """Return the rows of the growing chunk."""
        return self.seq - self.first_seq if self.parts else 0

    def stamp(self, now_us: int, given_us: int | None) -> tuple[int, bool]:
        """Return the stamp of the next row or blob and whether it lies before the last one.

        A stamp equal to the last is bumped by 1 µs, and so are those that follow too closely. Without a given
        time it is now: a single stamp from the future must not drag along everything after it.
        """
        if given_us is None:
            given_us = self.last_given if now_us < self.last_given <= now_us + JITTER_US else now_us
        if given_us >= self.last_given:
            self.last_given = given_us
            if given_us <= self.last:
                given_us = self.last + 1
                self.bumped += 1
            return given_us, False
        self.last_given = given_us
        self.turned = True
        return given_us, True

    def take_key(self, time_us: int) -> int:
        """Use up the stamp as a record's key, moved on past the keys the stream has already used."""
        while self.turned and time_us in self.keys:
            time_us += 1
            self.bumped += 1
        self.keys[time_us] = None
        if len(self.keys) > RECENT_KEYS:
            del self.keys[next(iter(self.keys))]
        return time_us

    def set_shape(self, shape: Shape | None, limit_bytes: int) -> None:
        """Take rows of another shape from now on."""
        self.shape = shape
        self.segment = None
        self.width = NEVER
        if shape is None:
            return
        self.known |= dict(zip(shape.names, shape.kinds, strict=True))
        self.loose = self.loose or shape.loose
        self.limit = max(1, limit_bytes // shape.row_bytes)

    def take_the_short_way(self, shape: Shape, pick: Callable[[dict[str, Any]], tuple[Any, ...]]) -> None:
        """Let flat dicts of this shape's fields be packed in one go."""
        self.pick, self.width = pick, len(shape.names)
        self.bools = tuple(at for at, kind in enumerate(shape.kinds) if kind == "?")
        self.pack, self.row_head, self.row_tail = shape.codec.pack, shape.head, shape.bin_head
        self.frame_head = HEADER.pack(MAGIC, shape.codec.size, 0)[1:-4]  # its first byte is written last
        self.frame_bytes = HEADER.size + shape.codec.size

    def clear(self) -> None:
        """Forget the chunk that was growing."""
        self.parts, self.opens = [], []
        self.first_seq = self.seq
        self.size = 0
        self.close_at = NEVER
