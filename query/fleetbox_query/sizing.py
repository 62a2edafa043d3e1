"""Say how much a question would bring, from where and how long that takes, without moving it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from fleetbox.cli.output import size_text
from fleetbox.records import Head
from fleetbox.settings import Place
from fleetbox.time import show_duration
from fleetbox_query.inventory import Holding
from fleetbox_query.items import is_chunk
from fleetbox_query.plan import FAR_US, Run, Source, Window
from fleetbox_query.provenance import Provenance
from fleetbox_query.reading import Prepared, Reading
from fleetbox_query.showing import html_table
from fleetbox_query.stores import Stores

LISTED_MOST = 200_000  # records; their heads are listed within 6 s, beyond that the stores' own totals must do
LISTING_S = 30e-6  # s a record: what the engine takes to list a head
SCAN_S = 6e-6  # s a record: to look at the labels of one it does not send
LONG_S = 3.0  # a scan that takes longer is announced before it begins: half a million records
RECORD_S = 60e-6  # s a record read, however small it is: 16,000 a second, until a reading told
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

    @property
    def took(self) -> str:
        """Return how long it takes in words, and whether that is a guess."""
        text = show_duration(round(self.seconds * 1e6))
        return text if self.measured else f"{text}, a guess until more was read from there"

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in Share.__slots__}


@dataclass(frozen=True, slots=True)
class Size:
    """Hold records, rows (a blob counts as one), bytes and seconds to fetch, in all and by place.

    exact: false where it was taken from the stores' totals, in proportion to time; rows of a chunk that reaches over
    the window's end count in proportion too. rows is None where nothing but reading tells. `scan` is how many
    records a filter looks at first, `scan_s` how long that takes: as it took just now, where it was exact. A filter
    that was not put to the records makes the rest of it an upper bound.
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

    def __repr__(self) -> str:
        rows = self._rows()
        widths = [max((len(row[at]) for row in rows), default=0) for at in range(4)]
        lines = [f"  {a:{widths[0]}}  {b:>{widths[1]}} records  {c:>{widths[2]}}  {d}" for a, b, c, d in rows]
        return "\n".join([self._head(), *lines, *self._notes()])

    def _repr_html_(self) -> str:
        """Return it for notebooks."""
        table = html_table(("place", "records", "size", "to fetch"), self._rows(), self._notes())
        return f"<p>{escape(self._head())}</p>{table}"

    def __str__(self) -> str:
        shares = ", ".join(f"{name} {size_text(one.size_bytes)}" for name, one in self.places.items()) or "nowhere"
        return "; ".join([f"{self._head()} ({shares})", *(line.strip() for line in self._scan_lines())])

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values."""
        return {
            "records": self.records, "rows": self.rows, "bytes": self.size_bytes, "seconds": round(self.seconds, 3),
            "exact": self.exact, "scan_records": self.scan, "scan_seconds": round(self.scan_s, 3),
            "places": {name: one.as_dict() for name, one in self.places.items()},
            "missing": self.provenance.lines(),
        }  # fmt: skip

    def _head(self) -> str:
        about = "" if self.exact else "at most " if self.scan else "about "
        rows = "" if self.rows is None else f"{self.rows:,} rows in "
        took = show_duration(round(self.seconds * 1e6))
        return f"{about}{rows}{self.records:,} records, {size_text(self.size_bytes)}, {took} to fetch"

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [(name, f"{one.records:,}", size_text(one.size_bytes), one.took) for name, one in self.places.items()]

    def _scan_lines(self) -> list[str]:
        took = show_duration(round(self.scan_s * 1e6))
        return [f"  the filter looks at {self.scan:,} records first, {took} of that"] if self.scan else []

    def _notes(self) -> list[str]:
        return [*self._scan_lines(), *self.provenance.lines()]


@dataclass(frozen=True, slots=True)
class Part:
    """Hold what the totals of one place say of a source's share, in proportion to time."""

    holding: Holding
    records: float
    size_bytes: float


async def size(stores: Stores, prepared: Prepared, monotonic_s: Callable[[], float] = time.monotonic) -> Size:
    """Return the size of a question: from heads, or from the stores' totals where listing would take long."""
    parts = share_parts(prepared.sources)
    if _listing_s(prepared, sum(part.records for part in parts)) > LISTED_MOST * LISTING_S:
        return _estimated(stores, prepared, parts)
    reading = Reading(stores, prepared)
    begun_s = monotonic_s()
    heads = await reading.heads()
    scan_s = monotonic_s() - begun_s if prepared.expression.label_tests else 0.0
    held = _by_place((run.holding.place, 1, head.size) for run, head in heads)
    rows = None if prepared.expression.needs_rows else round(sum(_rows(run, head) for run, head in heads))
    return _summed(stores, held, rows, (scan(prepared), scan_s), reading.provenance, exact=True)


def scan(prepared: Prepared) -> int:
    """Return how many records a filter by label makes the stores look at; 0 without a filter."""
    if not prepared.expression.label_tests:
        return 0
    return round(sum(part.records for part in share_parts(prepared.sources)))


def scan_text(prepared: Prepared) -> str:
    """Return what a long scan costs, in a line; "" where it is short or there is none."""
    looked = scan(prepared)
    seconds = _listing_s(prepared, looked)
    if seconds < LONG_S:
        return ""
    tests = ", ".join(sorted({test.name for test in prepared.expression.label_tests}))
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


def _listing_s(prepared: Prepared, looked: float) -> float:
    """Return how long it takes to list what passes: a store that can judge a filter sends little."""
    return looked * (SCAN_S if prepared.expression.is_thinned else LISTING_S)


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
    looked = scan(prepared)
    return _summed(stores, held, None, (looked, _listing_s(prepared, looked)), provenance, exact=False)


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
    scanned: tuple[int, float],
    provenance: Provenance,
    *,
    exact: bool,
) -> Size:
    shares = {}
    for place, records, size_bytes in held:
        speed, record_s = stores.speed(place), stores.record_s(place)
        rate, each_s = speed or ASSUMED[place.tier], record_s or RECORD_S
        small = records * each_s > size_bytes / rate  # where records are small, their number decides
        measured = (record_s if small else speed) is not None
        shares[place.name] = Share(
            place.tier, records, size_bytes, records * each_s if small else size_bytes / rate, measured
        )
    seconds = max((one.seconds for one in shares.values()), default=0.0)  # places are read side by side
    records, total = sum(one.records for one in shares.values()), sum(one.size_bytes for one in shares.values())
    looked, wait_s = scanned
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
