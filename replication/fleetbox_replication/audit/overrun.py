"""Count what a ring took within the minute it was written, before any page could tell of it, by the numbers missing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import ceil

from fleetbox.ledger import MINUTE_US, Folded, Key, Ledger
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.order import Hole, by_session, covered, spans_of
from fleetbox_replication.audit.terms import EVICTED, Terms

HEARD_US = 20_000_000  # µs after a minute: by then the site's census has told of what came to it


def overrun(
    ledger: Ledger, hop: Hop, found: Iterable[Hole], always: Callable[[str], bool]
) -> Iterator[tuple[Key, Terms]]:
    """Yield the terms of records that the robot's ring took untold, of streams that ship whole; `found` in its order.

    The numbers say that they were recorded, and shipping whole that they were selected. What the site holds of them in
    its own class its lines tell; what came through `kept` has arrived too; what the robot's `kept` saved waits; the
    rest is lost. Where records hold many numbers, so many records are counted as the minute's others would need.
    Nothing is said before the site was heard of.
    """
    heard_us = ledger.until_us.get(hop.site, 0) - MINUTE_US - HEARD_US
    taken = [hole for hole in found if hole.by_ring and hole.key[2] <= heard_us and always(hole.key[1])]
    if not taken or not hop.first:
        return
    streams = {hole.key[1] for hole in taken}
    there, here = spans_of(ledger.of(hop.site), streams), spans_of(ledger.of(hop.source), streams)
    drops = by_session(ledger.drops)
    for hole in taken:
        cls, stream, _ = hole.key
        untold = hole.less(drops[(cls, stream), hole.session])
        if untold and hop.reach(cls, stream) is not None:
            spans = [there[cls, stream, hole.session]]  # each with those before
            spans.append([*spans[0], *there["kept", stream, hole.session]])
            spans.append([*spans[1], *here["kept", stream, hole.session]])
            told, came, safe = (min(untold, covered(hole, held)) for held in spans)
            yield hole.key, _terms(ledger.of(hop.source)[hole.key], (untold - safe, safe - came, came - told))


def _terms(folded: Folded, numbers: tuple[int, int, int]) -> Terms:
    """Return the terms of numbers (lost, waiting, arrived) in records, rounded up: no loss becomes none."""
    rows = folded.rows / folded.held.records if folded.held.records else 1.0
    lost, waiting, arrived = (ceil(number / rows) for number in numbers)
    terms = Terms(lost + waiting + arrived, lost + waiting + arrived, arrived, waiting)
    if lost:
        terms.lost[EVICTED] = lost
    return terms
