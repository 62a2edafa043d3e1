"""Say how much a question would bring, from where and how long that takes, without moving it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.cli.output import size_text
from fleetbox.records import Head
from fleetbox.settings import Place
from fleetbox_query.inventory import Holding
from fleetbox_query.items import is_chunk
from fleetbox_query.plan import FAR_US, Run, Source, Window
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.stores import Stores

LISTED_MOST = 200_000  # records; their heads are listed within 6 s, beyond that the stores' own totals must do
LISTING_S = 30e-6  # s a record: what the engine takes to list a head, and to look at the labels of one it does not send
LONG_S = 10.0  # a scan that takes longer is announced before it begins
# Bytes a second until something was read from there: a fair mobile link, a gigabit in the hall, an office line.
ASSUMED = {"robot": 1_250_000.0, "edge": 50e6, "cloud": 6e6}


class LongScan(UserWarning):
    """Warn that a filter must look at many records before the first one comes."""


@dataclass(frozen=True, slots=True)
class Share:
    """Hold what one place gives; `measured` is false while its speed is a guess."""

    tier: str
    records: int
    size_bytes: int
    seconds: float
    measured: bool

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in Share.__slots__}


@dataclass(frozen=True, slots=True)
class Size:
    """Hold records, rows (a blob counts as one), bytes and seconds to fetch, in all and by place.

    exact: false where it was taken from the stores' totals, in proportion to time; rows of a chunk that reaches over
    the window's end count in proportion too. rows is None where nothing but reading tells. `scan` is how many
    records a filter looks at first, `scan_s` how long that takes.
    """

    records: int
    rows: int | None
    size_bytes: int
    seconds: float
    places: Mapping[str, Share]
    exact: bool
    scan: int = 0
    scan_s: float = 0.0
    provenance: Provenance = field(default_factory=Provenance)

    def __str__(self) -> str:
        about = "" if self.exact else "about "
        rows = "" if self.rows is None else f"{self.rows:,} rows in "
        shares = ", ".join(f"{name} {size_text(one.size_bytes)}" for name, one in self.places.items()) or "nowhere"
        text = f"{about}{rows}{self.records:,} records, {size_text(self.size_bytes)}, {self.seconds:.3g} s ({shares})"
        return f"{text}; a filter looks at {self.scan:,} records first, {self.scan_s:.3g} s" if self.scan else text

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "records": self.records, "rows": self.rows, "bytes": self.size_bytes, "seconds": round(self.seconds, 3),
            "exact": self.exact, "scan_records": self.scan, "scan_seconds": round(self.scan_s, 3),
            "places": {name: one.as_dict() for name, one in self.places.items()},
            "missing": self.provenance.lines(),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Part:
    """Hold what the totals of one place say of a source's share, in proportion to time."""

    holding: Holding
    records: float
    size_bytes: float


async def size(stores: Stores, prepared: Prepared) -> Size:
    """Return the size of a question: from heads, or from the stores' totals where listing would take long."""
    parts = share_parts(prepared.sources)
    looked = sum(part.records for part in parts)
    if looked > LISTED_MOST:
        return _estimated(stores, prepared, parts)
    reading = Reading(stores, prepared)
    heads = await reading.heads()
    held = _by_place((run.holding.place, 1, head.size) for run, head in heads)
    rows = None if prepared.expression.needs_rows else round(sum(_rows(run, head) for run, head in heads))
    return _summed(stores, held, rows, scan(prepared), reading.provenance, exact=True)


def scan(prepared: Prepared) -> int:
    """Return how many records a filter by label makes the stores look at; 0 without a filter."""
    if not prepared.expression.label_tests:
        return 0
    return round(sum(part.records for part in share_parts(prepared.sources)))


def scan_text(prepared: Prepared) -> str:
    """Return what a long scan costs, in a line; "" where it is short or there is none."""
    looked = scan(prepared)
    if looked * LISTING_S < LONG_S:
        return ""
    tests = ", ".join(sorted({test.name for test in prepared.expression.label_tests}))
    seconds = looked * LISTING_S
    return f"filtering by {tests} looks at about {looked:,} records, {seconds:.0f} s; a shorter time costs less"


def announce(prepared: Prepared, stacklevel: int = 3) -> None:
    """Warn with LongScan before a filter that takes long."""
    if text := scan_text(prepared):
        warnings.warn(LongScan(text), stacklevel=stacklevel)


def share_parts(sources: Sequence[Source]) -> list[Part]:
    """Divide what the stores' totals say of the wanted windows: each stretch of time to the nearest place with it."""
    return [part for source in sources for part in _parts(source)]


def without(window: Window, taken: Iterable[Window]) -> list[Window]:
    """Return what is left of a window after others were taken out of it."""
    left = [window]
    for start, stop in taken:
        cut = [((a, min(b, start)), (max(a, stop), b)) for a, b in left]
        left = [piece for pair in cut for piece in pair if piece[0] < piece[1]]
    return left


def _parts(source: Source) -> list[Part]:
    parts: list[Part] = []
    taken: list[Window] = []
    for holding in source.holdings:
        entry = holding.entry
        span = max(1, entry.latest_us - entry.oldest_us + 1)
        wanted = source.record_windows(entry.oldest_us, min(FAR_US, entry.latest_us + 1))
        open_us = sum(stop - start for window in wanted for start, stop in without(window, taken))
        part = min(1.0, open_us / span)
        parts.append(Part(holding, entry.records * part, entry.size_bytes * part))
        taken.append((entry.oldest_us, entry.latest_us + 1))
    return [part for part in parts if part.records > 0]


def _estimated(stores: Stores, prepared: Prepared, parts: Sequence[Part]) -> Size:
    held = _by_place((part.holding.place, round(part.records), round(part.size_bytes)) for part in parts)
    provenance = Provenance({}, prepared.inventory.unreached)
    return _summed(stores, held, None, scan(prepared), provenance, exact=False)


def _by_place(parts: Iterable[tuple[Place, int, int]]) -> list[tuple[Place, int, int]]:
    held: dict[str, tuple[Place, int, int]] = {}
    for place, records, size_bytes in parts:
        _, more, bigger = held.get(place.url, (place, 0, 0))
        held[place.url] = (place, more + records, bigger + size_bytes)
    return list(held.values())


def _summed(
    stores: Stores,
    held: Iterable[tuple[Place, int, int]],
    rows: int | None,
    looked: int,
    provenance: Provenance,
    *,
    exact: bool,
) -> Size:
    shares = {}
    for place, records, size_bytes in held:
        speed = stores.speed(place)
        rate = ASSUMED[place.tier] if speed is None else speed
        shares[place.name] = Share(place.tier, records, size_bytes, size_bytes / rate, speed is not None)
    seconds = max((one.seconds for one in shares.values()), default=0.0)  # places are read side by side
    records, total = sum(one.records for one in shares.values()), sum(one.size_bytes for one in shares.values())
    wait_s = looked * LISTING_S
    return Size(records, rows, total, seconds + wait_s, shares, exact, looked, wait_s, provenance)


def _rows(run: Run, head: Head) -> float:
    """Return a record's rows within the windows, in proportion to time where it reaches over an end."""
    if not is_chunk(head) and not run.source.film:
        return float(run.source.covers(head.time_us))
    last = head.labels.get("t_end", "")
    rows, end_us = float(head.labels.get("rows") or 1), int(last) if last.isdecimal() else head.time_us
    if run.source.holds(head.time_us, end_us) or end_us == head.time_us:
        return rows
    inside = sum(max(0, min(stop, end_us) - max(start, head.time_us)) for start, stop in run.source.windows)
    return rows * inside / (end_us - head.time_us)
