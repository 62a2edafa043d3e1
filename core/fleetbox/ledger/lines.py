"""What a page of the ledger says: per stream and minute what a place held, what was dropped, what is missing ahead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fleetbox.ledger.counts import Count
from fleetbox.naming import Class

MINUTE_US = 60_000_000  # µs; a record belongs to the minute of its own time, a chunk to that of its first row

Reach = Literal["all", "keep", "cloud"]  # which of a place's records a hop selects
Key = tuple[Class, str, int]  # class, stream, minute in µs


def minute_of(time_us: int) -> int:
    """Return the start in µs of the minute that a time in µs lies in."""
    return time_us - time_us % MINUTE_US


@dataclass(frozen=True, slots=True)
class Span:
    """Say which numbers of one session a minute holds: [first, next), `rows` of them present.

    Rows of chunks and blobs count alike. Without a hole `rows` is `next - first`.
    """

    session: str
    first: int
    next: int
    rows: int

    @property
    def holes(self) -> int:
        """Return how many numbers between first and next are not there."""
        return max(0, self.next - self.first - self.rows)


@dataclass(frozen=True, slots=True)
class Line:
    """Say what one place held of one stream in one minute when it was listed.

    `held` counts all records, `keep` those with the label `keep`, `cloud` those with `keep=1`; the class `meta` and
    the class `kept` travel whole, so their three counts are equal. `partial`: the place's ring had turned into this
    minute, so that records of it may have been there before. `missing`: samples expected by the policy and not there.
    """

    cls: Class
    stream: str
    minute_us: int
    held: Count
    keep: Count
    cloud: Count
    rows: int
    first_us: int
    last_us: int
    spans: tuple[Span, ...] = ()
    partial: bool = False
    missing: int = 0

    @property
    def key(self) -> Key:
        """Return what identifies the line at its place."""
        return self.cls, self.stream, self.minute_us

    def selected(self, reach: Reach) -> Count:
        """Return the count of the records that a hop of this reach selects."""
        return {"all": self.held, "keep": self.keep, "cloud": self.cloud}[reach]


@dataclass(frozen=True, slots=True)
class Drop:
    """Say that a recorder gave up the numbers [first, first + rows) of a stream's session, and why."""

    cls: Class
    stream: str
    session: str
    first: int
    rows: int
    reason: str
    time_us: int


@dataclass(frozen=True, slots=True)
class Removal:
    """Say that a robot took records of one stream's minute out of its ring, when (in µs), how many bytes, and why.

    `undelivered` of them had been selected and were not proven at the site.
    """

    cls: Class
    stream: str
    minute_us: int
    records: int
    bytes: int
    undelivered: int
    reason: str
    at_us: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Say how a source sees what is not at the next site yet, of one stream's minute; a settled one has no counts.

    `waiting` records are at the source still; `refused` and `lost` count by reason; `unexplained` are gone from the
    source although its ring had not turned over them.
    """

    site: str
    cls: Class
    stream: str
    minute_us: int
    waiting: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    unexplained: int = 0


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Say that a person deleted a stream's records of [start_us, stop_us) at a site: nothing brings them back."""

    site: str
    cls: Class
    stream: str
    start_us: int
    stop_us: int
    by: str = ""
