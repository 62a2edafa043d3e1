"""Decide which records a full disk gives up first: the least valuable, and of equals the oldest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from fleetbox.ledger import minute_of
from fleetbox.naming import SMALL, parent_of


class Rank(IntEnum):
    """Order records by what their loss costs, the cheapest first."""

    FILMED = 0  # its picture can be read from a video that stands in the store
    UNSELECTED = 1  # nobody asked for it
    DELIVERED = 2  # the site is proven to hold it
    UNDELIVERED = 3  # asked for, and nowhere else


REASONS = {
    Rank.FILMED: "in a video",
    Rank.UNSELECTED: "room on the disk",
    Rank.DELIVERED: "room on the disk, delivered",
    Rank.UNDELIVERED: "room on the disk, not delivered",
}
TOO_OLD = "older than the policy keeps"


@dataclass(frozen=True, slots=True)
class Worth:
    """Hold what a record's value follows from; times in µs, `end_us` is that of its last row, size in bytes."""

    cls: str
    stream: str
    time_us: int
    end_us: int
    size: int
    selected: bool
    proven: bool = False
    filmed: bool = False

    @property
    def minute_us(self) -> int:
        """Return the start of its minute."""
        return minute_of(self.time_us)

    @property
    def is_small(self) -> bool:
        """Tell whether it is a small frame: a thousandth of the bytes, and it says what there was."""
        return parent_of(self.stream)[1] in SMALL


def rank_of(worth: Worth) -> Rank:
    """Return the rank of a record; one that is selected and not proven at the site is never less than the last."""
    if worth.selected and not worth.proven:
        return Rank.UNDELIVERED
    if worth.filmed:
        return Rank.FILMED
    return Rank.DELIVERED if worth.selected else Rank.UNSELECTED


def choose(records: Iterable[Worth], need_bytes: int, last: Rank = Rank.UNDELIVERED) -> list[Worth]:
    """Return what to give up so that at least `need_bytes` come free, none of a rank above `last`.

    By rank, then originals before small frames, then the oldest; what ends the choice is taken with its whole minute
    of the stream: the engine frees a block when all of it goes.
    """
    ranked = [(rank_of(one), one) for one in records]
    order = sorted(
        (item for item in ranked if item[0] <= last), key=lambda item: (item[0], item[1].is_small, item[1].time_us)
    )
    chosen: list[Worth] = []
    begun: set[tuple[Rank, str, str, int]] = set()
    freed = 0
    for rank, one in order:
        key = (rank, one.cls, one.stream, one.minute_us)
        if freed >= need_bytes and key not in begun:
            continue
        begun.add(key)
        chosen.append(one)
        freed += one.size
    return chosen


def is_expired(worth: Worth, now_us: int, retention_us: int | None) -> bool:
    """Tell whether a record that nobody selected is older than its stream's policy keeps it."""
    return retention_us is not None and not worth.selected and worth.end_us < now_us - retention_us
