"""Say where in time there are data, where there are holes, and what only an absent robot holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.time import iso_time, show_duration
from fleetbox_query.plan import Window, merged
from fleetbox_query.provenance import Provenance

LEAST_GAP_US = 1_000_000  # shorter silences are jitter to whoever looks for holes
GAP_PERIODS = 3  # two records that did not come make a hole
DRAWN = 40  # characters of the bar a line of text has


@dataclass(frozen=True, slots=True)
class Cover:
    """Hold where one stream has data, in µs: by place, and as an absent robot last `told` that it holds.

    `asked` are the windows asked about, cut to where anything of the stream is. A hole is longer than `gap_us`.
    """

    robot: str
    stream: str
    asked: tuple[Window, ...]
    gap_us: int
    places: Mapping[str, tuple[Window, ...]] = field(default_factory=dict)
    told: tuple[Window, ...] = ()
    told_until_us: int = 0

    @property
    def name(self) -> str:
        """Return "robot/stream"."""
        return f"{self.robot}/{self.stream}"

    @property
    def parts(self) -> tuple[Window, ...]:
        """Return where there are data that can be read now."""
        return joined((part for parts in self.places.values() for part in parts), self.gap_us)

    @property
    def holes(self) -> tuple[Window, ...]:
        """Return where nothing can be read between the first and the last of it."""
        return tuple(gaps(self.parts, self.asked))

    @property
    def elsewhere(self) -> tuple[Window, ...]:
        """Return what only the absent robot holds, by what it last told: `pull()` brings it."""
        known = self.parts
        return tuple(hole for part in self.told for hole in gaps(known, (part,)) if hole[1] - hole[0] > self.gap_us)

    @property
    def share(self) -> float:
        """Return the part of the time asked about that has data, 0 to 1."""
        whole = sum(stop - start for start, stop in self.asked)
        lost = sum(stop - start for start, stop in self.holes)
        return 1 - lost / whole if whole else float(bool(self.parts))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain values, times in µs."""
        return {
            "robot": self.robot, "stream": self.stream, "share": round(self.share, 6), "gap_us": self.gap_us,
            "parts": [list(part) for part in self.parts], "holes": [list(hole) for hole in self.holes],
            "places": {name: [list(part) for part in parts] for name, parts in self.places.items()},
            "robot_only": [list(part) for part in self.elsewhere], "told_until_us": self.told_until_us or None,
        }  # fmt: skip

    def __str__(self) -> str:
        return self.line()

    def line(self, width: int = 0) -> str:
        """Return it as a line of text, the name filled up to a width."""
        longest = max(self.holes, key=lambda hole: hole[1] - hole[0], default=None)
        text = f"{self.name:{width or len(self.name)}}  {bar(self)}  {100 * self.share:.4g} %"
        if self.asked:
            first, last = self.asked[0][0], self.asked[-1][1]
            text += f" of {show_duration(last - first)} from {iso_time(first)}"
        if longest:
            length = show_duration(longest[1] - longest[0])
            counted = "1 hole," if len(self.holes) == 1 else f"{len(self.holes)} holes, the longest"
            text += f", {counted} {length} from {iso_time(longest[0])}"
        more = sum(stop - start for start, stop in self.elsewhere)
        return f"{text}; {show_duration(more)} more on the robot alone" if more else text


class Coverage(Sequence[Cover]):
    """Hold the coverage of each stream; prints a line each. `provenance` says which places were asked."""

    def __init__(self, covers: Sequence[Cover], provenance: Provenance) -> None:
        self._covers = tuple(covers)
        self.provenance = provenance

    def __len__(self) -> int:
        return len(self._covers)

    def __getitem__(self, at: Any) -> Any:
        """Return one by its place in the list, or by its name "robot/stream"."""
        if isinstance(at, str):
            return {cover.name: cover for cover in self._covers}[at]
        return self._covers[at]

    def __iter__(self) -> Iterator[Cover]:
        return iter(self._covers)

    def __repr__(self) -> str:
        width = max((len(cover.name) for cover in self._covers), default=0)
        lines = [cover.line(width) for cover in self._covers]
        return "\n".join([*lines, *self.provenance.lines()]) or "nothing"


def joined(parts: Iterable[Window], gap_us: int) -> tuple[Window, ...]:
    """Return stretches in order, those joined that lie no further apart than a gap."""
    out: list[Window] = []
    for start, stop in sorted(parts):
        if out and start - out[-1][1] <= gap_us:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    return tuple(out)


def gaps(parts: Sequence[Window], asked: Sequence[Window]) -> Iterator[Window]:
    """Yield what of the windows asked about lies in none of the parts (both in order, parts apart)."""
    for start, stop in asked:
        at = start
        for first, last in parts:
            if last <= at or first >= stop:
                continue
            if first > at:
                yield at, first
            at = max(at, last)
        if at < stop:
            yield at, stop


def usual_gap(distances: Sequence[int]) -> int:
    """Return how long a silence must be to be a hole, from the distances between records in µs."""
    middle = sorted(distances)[len(distances) // 2] if distances else 0
    return max(LEAST_GAP_US, GAP_PERIODS * middle)


def bar(cover: Cover) -> str:
    """Return the time asked about as a line of text: full, half and empty where data are whole, some or none."""
    if not cover.asked:
        return " " * DRAWN
    first, last = cover.asked[0][0], cover.asked[-1][1]
    step = max(1, (last - first) // DRAWN)
    shares = []
    for at in range(DRAWN):
        cell = (first + at * step, first + (at + 1) * step)
        wanted = [(max(cell[0], a), min(cell[1], b)) for a, b in cover.asked if a < cell[1] and b > cell[0]]
        lost = sum(b - a for a, b in gaps(cover.parts, wanted))
        whole = sum(b - a for a, b in wanted)
        shares.append(1 - lost / whole if whole else 0.0)
    return "".join("█" if share > 0.99 else "▒" if share > 0 else "·" for share in shares)


def cut(parts: Iterable[Window], windows: Sequence[Window]) -> tuple[Window, ...]:
    """Return what of the parts lies in the windows, a point of time as one µs."""
    pieces = ((max(a, c), min(max(b, a + 1), d)) for a, b in parts for c, d in windows)
    return merged((a, b) for a, b in pieces if a < b)
