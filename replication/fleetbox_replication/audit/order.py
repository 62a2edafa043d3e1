"""Find numbers of a stream's sessions that are neither there nor named as dropped, and whether a ring explains them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fleetbox.ledger import MINUTE_US, Drop, Folded, Key, Span
from fleetbox.naming import RING_CLASSES, Class

Stream = tuple[Class, str]
SETTLED_US = 120_000_000  # µs; a number written late, from the spool, is there by then
_STARTED = re.compile(r"(\d{8}t\d{6})-")


@dataclass(frozen=True, slots=True)
class Hole:
    """Hold `count` numbers within [first, next) of a session that no page told of, before or in a stream's minute.

    `by_ring`: the ring had turned into that minute when it was told of: it took them before anybody looked.
    """

    key: Key
    session: str
    first: int
    next: int
    count: int
    by_ring: bool = False

    def less(self, drops: Iterable[Drop]) -> int:
        """Count the numbers that no drop names."""
        return max(0, self.count - sum(_overlap(self, drop) for drop in drops))


def gaps(found_holes: Iterable[Hole], drops: Iterable[Drop], now_us: int) -> Counter[Stream]:
    """Count per stream the numbers missing between those that a place held that neither a drop nor its ring explains.

    Minutes of the last two are not judged yet.
    """
    named = by_session(drops)
    found: Counter[Stream] = Counter()
    for hole in found_holes:
        if not hole.by_ring and hole.key[2] + MINUTE_US + SETTLED_US <= now_us:
            found[hole.key[:2]] += hole.less(named[hole.key[:2], hole.session])
    return +found


def holes(lines: Mapping[Key, Folded], start_us: int) -> Iterator[Hole]:
    """Yield the holes in the order of each stream's sessions.

    A session that began within the range must begin with number 0. Rescued copies are left out: they have holes by
    nature.
    """
    spans: defaultdict[tuple[Stream, str], list[tuple[Span, Key, bool]]] = defaultdict(list)
    for key, folded in lines.items():
        if key[0] in RING_CLASSES:
            for span in folded.spans:
                spans[key[:2], span.session].append((span, key, folded.line.partial))
    for (_, session), held in spans.items():
        held.sort(key=lambda item: (item[0].first, item[0].next))
        reached = 0 if _started_us(session) >= start_us else held[0][0].first
        for span, key, partial in held:
            if span.first > reached:
                yield Hole(key, session, reached, span.first, span.first - reached, partial)
            if span.holes:
                yield Hole(key, session, span.first, span.next, span.holes)
            reached = max(reached, span.next)


def by_session(drops: Iterable[Drop]) -> defaultdict[tuple[Stream, str], list[Drop]]:
    """Return drops by stream and session."""
    found: defaultdict[tuple[Stream, str], list[Drop]] = defaultdict(list)
    for drop in drops:
        found[(drop.cls, drop.stream), drop.session].append(drop)
    return found


def covered(hole: Hole, spans: Iterable[Span]) -> int:
    """Count how many numbers of a hole these spans hold for sure: a number in two of them counts once."""
    inside = sorted((max(hole.first, span.first), min(hole.next, span.next), span.holes) for span in spans)
    held, reached = 0, hole.first
    for first, after, lacking in inside:
        held += max(0, after - max(first, reached) - lacking) if after > reached else 0
        reached = max(reached, after)
    return min(held, hole.count)


def spans_of(lines: Mapping[Key, Folded], streams: Container[str]) -> defaultdict[tuple[str, str, str], list[Span]]:
    """Return all spans that a place held of some streams, by class, stream and session."""
    found: defaultdict[tuple[str, str, str], list[Span]] = defaultdict(list)
    for (cls, stream, _), folded in lines.items():
        if stream in streams:
            for span in folded.spans:
                found[cls, stream, span.session].append(span)
    return found


def _overlap(hole: Hole, drop: Drop) -> int:
    return max(0, min(drop.first + drop.rows, hole.next) - max(drop.first, hole.first))


def _started_us(session: str) -> int:
    """Return when a session began, as its id says, in µs; -1 for an id that says nothing."""
    match = _STARTED.match(session)
    if match is None:
        return -1
    try:
        return int(datetime.strptime(match[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        return -1
