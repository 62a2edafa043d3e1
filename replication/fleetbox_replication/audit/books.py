"""Close the books of one robot: from what every place told, a row per stream and hop, worked out minute by minute."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.ledger import MINUTE_US, Folded, Key, Ledger, Reach, Removed, Standing, minute_of
from fleetbox.naming import RING_CLASSES
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.order import Hole, Stream, gaps, holes
from fleetbox_replication.audit.overrun import overrun
from fleetbox_replication.audit.rows import Row, row_of
from fleetbox_replication.audit.settling import NOTHING, Listing, Minute, settle
from fleetbox_replication.audit.terms import Terms
from fleetbox_replication.reconcile.standings import FLOOR, SAVED

Listings = Mapping[tuple[str, Key], Listing]  # by (destination, stream's minute)


@dataclass(frozen=True, slots=True)
class Range:
    """Say which minutes and streams the books are about; times in µs, whole minutes count.

    `now_us` is when they are closed; `listings` is what was listed for them; `always` tells which streams ship whole;
    `ahead` are those with records of times to come, of which no page tells before: their order cannot be judged;
    `by_hand` counts by site and stream's minute what sticks brought.
    """

    start_us: int
    stop_us: int
    now_us: int
    wants: Callable[[str], bool] = lambda stream: True
    always: Callable[[str], bool] = lambda stream: False
    listings: Listings = field(default_factory=dict)
    ahead: frozenset[Stream] = frozenset()
    by_hand: Mapping[str, Mapping[Key, int]] = field(default_factory=dict)

    def holds(self, key: Key) -> bool:
        """Tell whether a stream's minute is meant."""
        return minute_of(self.start_us) <= key[2] < self.stop_us and self.wants(key[1])

    def certain(self, gaps: Counter[Stream]) -> Counter[Stream]:
        """Return the gaps of those streams whose order can be judged."""
        return Counter({stream: count for stream, count in gaps.items() if stream not in self.ahead})

    def of(self, lines: Mapping[Key, Folded]) -> dict[Key, Folded]:
        """Return those of the lines that are meant."""
        wanted = {stream for stream in {key[1] for key in lines} if self.wants(stream)}
        first_us = minute_of(self.start_us)
        return {key: it for key, it in lines.items() if key[1] in wanted and first_us <= key[2] < self.stop_us}


def close(ledger: Ledger, hops: Sequence[Hop], meant: Range) -> list[Row]:
    """Return the rows of one robot, one per stream and hop, in no order."""
    if not hops:
        return _kept_whole(ledger, meant)
    rows = []
    order = list(order_of(ledger.of(ledger.robot), meant))
    for step, hop in enumerate(hops):
        sums: defaultdict[Stream, Terms] = defaultdict(Terms)
        for (cls, stream, _), recorded, selected, terms in _judged(ledger, hop, meant):
            total = sums[cls, stream]
            if terms is None:
                total.add_settled(recorded, selected)
            else:
                total.add(terms)
        for key, untold in _untold(ledger, hop, meant):
            sums[key[:2]].add(untold)
        for key, untold in overrun(ledger, hop, order, meant.always):
            sums[key[:2]].add(untold)
        beside = _beside(ledger, order, meant) if step == 0 else _Beside()
        beside.gaps.update(_gaps_there(ledger, hop, meant))
        brought = _by_hand(hop, meant)
        unasked = hop.site not in ledger.lines and not any(site == hop.site for site, _ in meant.listings)
        until_us = ledger.until_us.get(hop.source, 0)
        for cls, stream in sums.keys() | beside.streams:
            total = sums.get((cls, stream)) or Terms()
            if total.recorded or (cls, stream) in beside.streams:
                rows.append(row_of(total, beside.named(Row(
                    ledger.robot, stream, cls, hop.site, until_us=until_us, source=hop.source, step=step,
                    unasked=unasked, by_hand=brought[cls, stream],
                ))))  # fmt: skip
    return rows


def order_of(lines: Mapping[Key, Folded], meant: Range) -> Iterator[Hole]:
    """Yield the holes of the streams and minutes that are meant, filled from whatever minute is known."""
    wanted = {stream for stream in {key[1] for key in lines} if meant.wants(stream)}
    return holes({key: it for key, it in lines.items() if key[1] in wanted}, meant.start_us, meant.holds)


def minutes(ledger: Ledger, hop: Hop, meant: Range, keys: Iterable[Key] | None = None) -> Iterator[tuple[Key, Terms]]:
    """Yield the terms of each stream's minute on a hop, of all that either end told of or of the given keys."""
    for key, recorded, selected, terms in _judged(ledger, hop, meant, keys):
        yield key, terms or Terms(recorded, selected, selected)


def _judged(
    ledger: Ledger, hop: Hop, meant: Range, keys: Iterable[Key] | None = None
) -> Iterator[tuple[Key, int, int, Terms | None]]:
    """Yield (key, recorded, selected, terms); no terms where all that was selected has arrived: most minutes."""
    here, there, standings = ledger.of(hop.source), ledger.of(hop.site), ledger.standings.get(hop.site, {})
    first_us, stop_us = minute_of(meant.start_us), meant.stop_us
    ways: dict[tuple[str, str], tuple[bool, Reach | None]] = {}  # asked once a stream and not once a minute
    for key in keys if keys is not None else [*here, *(key for key in there if key not in here)]:
        cls, stream, minute_us = key
        way = ways.get((cls, stream))
        if way is None:
            wanted = meant.wants(stream) and hop.carries(cls, stream)
            way = ways[cls, stream] = wanted, hop.reach(cls, stream)
        if not way[0] or not first_us <= minute_us < stop_us:
            continue
        source, target = here.get(key), there.get(key)
        want = source.most(way[1]) if source and way[1] else NOTHING
        have = target.proven if target else NOTHING
        if have.records < want.records and (passed := _passed(ledger, hop, key)):
            have = passed.proven
        recorded = source.held.records if source else 0
        if want == have and key not in standings:
            yield key, recorded, want.records, None
        elif source or target:
            open_ = way[1] is not None or have.records
            terms = settle(_seen(ledger, hop, meant, key), meant.now_us) if open_ else Terms()
            terms.recorded = max(recorded, terms.selected)
            yield key, terms.recorded, terms.selected, terms


def _seen(ledger: Ledger, hop: Hop, meant: Range, key: Key) -> Minute:
    source, target = ledger.of(hop.source).get(key), _passed(ledger, hop, key)
    rescued = ledger.of(hop.site).get(("kept", key[1], key[2])) if key[0] in RING_CLASSES else None
    chosen = hop.reach(key[0], key[1])
    shelved = ledger.of(hop.source).get(("kept", key[1], key[2])) if key[0] in RING_CLASSES else None
    removed = ledger.removed.get(key, Removed()) if hop.first else Removed()
    standing, saved = _saved(ledger.standings.get(hop.site, {}).get(key), rescued.held.records if rescued else 0)
    return Minute(
        key[2],
        want=source.most(chosen) if source and chosen else NOTHING,
        still=source.line.selected(chosen).records if source and chosen else 0,
        turned=source.line.partial if source else False,
        told_us=source.told_us if source else 0,
        have=target.proven if target else NOTHING,
        have_told_us=target.told_us if target else 0,
        rescued=rescued.held if rescued else NOTHING,
        saved=saved,
        shelved=shelved.line.held.records if shelved else 0,
        given_up=removed.undelivered,
        given_up_us=removed.last_us,
        standing=standing,
        stood_us=ledger.stood_us.get(hop.site, {}).get(key, 0),
        deleted=_deleted(ledger, hop, key),
        listing=meant.listings.get((hop.site, key)),
    )


def _untold(ledger: Ledger, hop: Hop, meant: Range) -> Iterator[tuple[Key, Terms]]:
    """Yield the terms of records that the robot removed before any page told of their minute."""
    here, there = ledger.of(hop.source), ledger.of(hop.site)
    for key, gone in ledger.removed.items() if hop.first else ():
        if key not in here and key not in there and meant.holds(key):
            yield key, Terms(gone.records, gone.undelivered, lost=+Counter({FLOOR: gone.undelivered}))


def _passed(ledger: Ledger, hop: Hop, key: Key) -> Folded | None:
    """Return what tells most of a minute's arrival: the destination's line, or that of a site further on.

    Whatever is there has passed the destination, also where the destination's own pages cannot be read.
    """
    found = ledger.of(hop.site).get(key)
    for site in hop.own[1:]:
        further = ledger.of(site).get(key)
        if further is not None and (found is None or further.proven.records > found.proven.records):
            found = further
    return found


def _saved(standing: Standing | None, rescued: int) -> tuple[Standing | None, int]:
    """Return a standing without what the guard has saved: it came through `kept`, or is on its way there."""
    if standing is None or SAVED not in standing.refused:
        return standing, 0
    left = dict(standing.refused)
    count = left.pop(SAVED)
    saved = min(count, rescued)
    return replace(standing, refused=left, waiting=standing.waiting + count - saved), saved


def _deleted(ledger: Ledger, hop: Hop, key: Key) -> str:
    for stone in ledger.tombstones:
        about = (stone.site, stone.cls, stone.stream) == (hop.site, key[0], key[1])
        if about and stone.start_us < key[2] + MINUTE_US and key[2] < stone.stop_us:
            return f"deleted at {hop.site}" + (f" by {stone.by}" if stone.by else "")
    return ""


@dataclass(slots=True)
class _Beside:
    """Hold what stands beside the equations, per stream."""

    dropped: defaultdict[Stream, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    removed: defaultdict[Stream, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    missing: Counter[Stream] = field(default_factory=Counter)
    gaps: Counter[Stream] = field(default_factory=Counter)

    @property
    def streams(self) -> set[Stream]:
        return {*self.dropped, *self.removed, *self.missing, *self.gaps}

    def named(self, row: Row) -> Row:
        stream: Stream = (row.cls, row.stream)
        dropped = dict(self.dropped[stream]) if stream in self.dropped else {}
        removed = dict(self.removed[stream]) if stream in self.removed else {}
        return replace(row, dropped=dropped, removed=removed, missing=self.missing[stream], gaps=self.gaps[stream])


def _beside(ledger: Ledger, order: Iterable[Hole], meant: Range) -> _Beside:
    """Count drops, removals, missing samples and holes in the order, as the robot's own ledger has them."""
    found = _Beside()
    for drop in ledger.drops:
        if meant.holds((drop.cls, drop.stream, minute_of(drop.time_us))):
            found.dropped[drop.cls, drop.stream][drop.reason] += drop.rows
    for gone in ledger.removals:
        if meant.holds((gone.cls, gone.stream, gone.minute_us)):
            found.removed[gone.cls, gone.stream][gone.reason] += gone.records
    for (cls, stream, _), folded in meant.of(ledger.of(ledger.robot)).items():
        if folded.line.missing:
            found.missing[cls, stream] += folded.line.missing
    found.gaps = meant.certain(gaps(order, ledger.drops, meant.now_us))
    return found


def _by_hand(hop: Hop, meant: Range) -> Counter[Stream]:
    """Count what sticks brought to a hop's site, or past it to one further on."""
    found: Counter[Stream] = Counter()
    for site in hop.own:
        for key, count in meant.by_hand.get(site, {}).items():
            if meant.holds(key):
                found[key[:2]] += count
    return found


def _gaps_there(ledger: Ledger, hop: Hop, meant: Range) -> Counter[Stream]:
    """Count holes at the destination in streams that ship whole, where their source never told of anything.

    Wherever it did, its own order and the digests say it all.
    """
    if ledger.of(hop.source):
        return Counter()
    whole = {key: folded for key, folded in ledger.of(hop.site).items() if meant.always(key[1])}
    return meant.certain(gaps(order_of(whole, meant), ledger.drops, meant.now_us))


def _kept_whole(ledger: Ledger, meant: Range) -> list[Row]:
    """Return the rows of a robot that reports to no site: all it recorded stays there."""
    sums: Counter[Stream] = Counter()
    own = meant.of(ledger.of(ledger.robot))
    for key, folded in own.items():
        sums[key[:2]] += folded.held.records
    beside = _beside(ledger, order_of(ledger.of(ledger.robot), meant), meant)
    until_us = ledger.until_us.get(ledger.robot, 0)
    return [
        row_of(Terms(sums[cls, stream]), beside.named(Row(ledger.robot, stream, cls, "", until_us=until_us)))
        for cls, stream in sums.keys() | beside.streams
    ]
