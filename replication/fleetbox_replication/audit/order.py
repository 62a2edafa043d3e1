"""Find numbers of a stream's sessions that are neither there nor named as dropped."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from fleetbox.ledger import MINUTE_US, Drop, Folded, Key, Span
from fleetbox.naming import RING_CLASSES, Class

Stream = tuple[Class, str]
SETTLED_US = 120_000_000  # µs; a number written late, from the spool, is there by then
_STARTED = re.compile(r"(\d{8}t\d{6})-")


def gaps(lines: Mapping[Key, Folded], drops: Iterable[Drop], start_us: int, now_us: int) -> Counter[Stream]:
    """Count per stream the numbers missing between those that a place held, less those that a drop names.

    A session that began within the range must begin with number 0. Rescued copies are left out: they have holes by
    nature. Minutes of the last two are not judged yet.
    """
    spans: defaultdict[tuple[Stream, str], list[Span]] = defaultdict(list)
    turned: set[tuple[Stream, str]] = set()
    for (cls, stream, minute_us), folded in lines.items():
        if cls in RING_CLASSES and minute_us + MINUTE_US + SETTLED_US <= now_us:
            for span in folded.spans:
                spans[(cls, stream), span.session].append(span)
                if folded.line.partial:
                    turned.add(((cls, stream), span.session))
    dropped: defaultdict[tuple[Stream, str], list[Drop]] = defaultdict(list)
    for drop in drops:
        dropped[(drop.cls, drop.stream), drop.session].append(drop)
    found: Counter[Stream] = Counter()
    for (stream_of, session), held in spans.items():
        whole = _started_us(session) >= start_us and (stream_of, session) not in turned
        found[stream_of] += _missing(held, dropped[stream_of, session], whole)
    return +found


def _missing(spans: list[Span], drops: list[Drop], whole: bool) -> int:
    """Count the numbers that a session lacks, from 0 on when it is `whole`, else from the first one held."""
    spans = sorted(spans, key=lambda span: (span.first, span.next))
    first = reached = 0 if whole else spans[0].first
    holes = 0
    for span in spans:
        holes += max(0, span.first - reached) + span.holes
        reached = max(reached, span.next)
    if not holes:
        return 0
    named = sum(max(0, min(drop.first + drop.rows, reached) - max(drop.first, first)) for drop in drops)
    return max(0, holes - named)


def _started_us(session: str) -> int:
    """Return when a session began, as its id says, in µs; -1 for an id that says nothing."""
    match = _STARTED.match(session)
    if match is None:
        return -1
    try:
        return int(datetime.strptime(match[1], "%Y%m%dt%H%M%S").replace(tzinfo=UTC).timestamp()) * 1_000_000
    except ValueError:
        return -1
