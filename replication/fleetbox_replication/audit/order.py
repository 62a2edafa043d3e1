"""Find numbers of a stream's sessions that are neither there nor named as dropped, and whether a ring explains them."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, pairwise

from fleetbox.ledger import MINUTE_US, Drop, Folded, Key, Span
from fleetbox.naming import RING_CLASSES, Class

Stream = tuple[Class, str]
SETTLED_US = 120_000_000  # µs; a number written late, from the spool, is there by then
_STARTED = re.compile(r"(\d{8}t\d{6})-")


@dataclass(frozen=True, slots=True)
class Hole:
    """Hold `count` numbers within [first, next) of a session that no page told of, before or in a stream's minute.

    `by_ring`: the ring had turned into that minute when it was told of: it took them before anybody looked. `told_us`
    is when it was told of.
    """

    key: Key
    session: str
    first: int
    next: int
    count: int
    by_ring: bool = False
    told_us: int = 0

    def less(self, drops: Iterable[Drop]) -> int:
        """Count the numbers that no drop names."""
        return max(0, self.count - sum(_overlap(self, drop) for drop in drops))


def gaps(found_holes: Iterable[Hole], drops: Iterable[Drop], now_us: int) -> Counter[Stream]:
    """Count per stream the numbers missing between those that a place held that neither a drop nor its ring explains.

    Minutes of the last two, and those told of since, are not judged yet: the open minute may hold what they lack.
    """
    named = by_session(drops)
    found: Counter[Stream] = Counter()
    for hole in found_holes:
        if not hole.by_ring and max(hole.key[2] + MINUTE_US, hole.told_us) + SETTLED_US <= now_us:
            found[hole.key[:2]] += hole.less(named[hole.key[:2], hole.session])
    return +found


def holes(
    lines: Mapping[Key, Folded], start_us: int, meant: Callable[[Key], bool] = lambda key: True
) -> Iterator[Hole]:
    """Yield the holes before or in the minutes that are meant, in the order of each stream's sessions.

    Numbers of any minute fill them: a clock that jumps puts them anywhere. A session that began within the range must
    begin with number 0. Of one that began before not every page was read: it is judged from its first minute that is
    meant, and not at all where numbers and minutes do not rise together. Rescued copies are left out: they have holes
    by nature.
    """
    spans: defaultdict[tuple[Stream, str], list[tuple[Span, Key]]] = defaultdict(list)
    for key, folded in lines.items():
        if key[0] in RING_CLASSES:
            for span in folded.spans:
                spans[key[:2], span.session].append((span, key))
    for (_, session), held in spans.items():
        held.sort(key=lambda item: (item[0].first, item[0].next))
        reached = 0
        if _started_us(session) < start_us:
            own = [(span.first, key[2]) for span, key in held if meant(key)]
            if not own or any(one[1] > other[1] for one, other in pairwise(own)):
                continue
            reached = own[0][0]
        yield from _between(held, reached, lambda key: (lines[key], meant(key)))


def _between(
    held: Sequence[tuple[Span, Key]], reached: int, known: Callable[[Key], tuple[Folded, bool]]
) -> Iterator[Hole]:
    """Yield the holes of one session after the number reached; `known` gives a minute's line and if it is meant."""
    for at, (span, key) in enumerate(held):
        folded, wanted = known(key)
        if wanted and span.first > reached:
            missing = span.first - reached
            yield Hole(key, span.session, reached, span.first, missing, folded.line.partial, folded.told_us)
        if wanted and (missing := span.holes and span.holes - _elsewhere(held, at, reached)) > 0:
            yield Hole(key, span.session, span.first, span.next, missing, told_us=folded.told_us)
        reached = max(reached, span.next)


def _elsewhere(held: Sequence[tuple[Span, Key]], at: int, reached: int) -> int:
    """Return how many numbers within a span other minutes may hold; none before it do unless they reached into it."""
    mine, found = held[at][0], 0
    for other, _ in held[:at] if reached > mine.first else ():
        found += min(other.rows, max(0, min(other.next, mine.next) - mine.first))
    for other, _ in islice(held, at + 1, None):
        if other.first >= mine.next:
            break
        found += min(other.rows, min(other.next, mine.next) - other.first)
    return found


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
