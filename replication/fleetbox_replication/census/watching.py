"""Decide which minutes of an entry to list, from what its store says of it at each look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetbox.blobs import EntryInfo
from fleetbox.ledger import MINUTE_US, minute_of
from fleetbox_replication.census.rhythm import Rhythm


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold what one look found an entry to be: its number of records, its oldest and its newest time in µs."""

    records: int
    oldest_us: int
    latest_us: int


@dataclass(frozen=True, slots=True)
class Walk:
    """Hold a range of minutes that is listed bit by bit: [next_us, stop_us)."""

    next_us: int
    stop_us: int


@dataclass(frozen=True, slots=True)
class Watched:
    """Hold what a census knows of one entry.

    Minutes before `told_us` are told, but for those in `walk` and those in `again`, which are to be listed once they
    are over. `looks` are the entry as it was found since `base`, the last look whose records were accounted for: one
    a minute, the newest last. `told` is how many of its records were told; None while that cannot be known.
    `searched`: near minutes were listed because of records nobody noted; `searched_us` is when the whole entry was.
    `turned_us`: up to there the ring was seen to let go of this entry's oldest records, 0 = never; what comes later
    from before then does not turn it back.
    """

    told_us: int
    looks: tuple[Seen, ...]
    base: Seen | None = None
    told: int | None = None
    walk: Walk | None = None
    again: frozenset[int] = frozenset()
    searched: bool = False
    searched_us: int = 0
    turned_us: int = 0
    quiet: int = 0  # looks in a row that found no change

    @property
    def last(self) -> Seen:
        """Return the entry as the last look found it."""
        return self.looks[-1]

    @property
    def open_us(self) -> int:
        """Return the end in µs of the minute that holds the newest record."""
        return minute_of(self.last.latest_us) + MINUTE_US


def notice(old: Watched | None, info: EntryInfo, now_us: int, rhythm: Rhythm) -> Watched | None:
    """Return what is known after one more look at an entry; None for one without records."""
    if info.records <= 0:
        return None
    seen = Seen(info.records, info.oldest_us, info.latest_us)
    if old is None or seen.latest_us < old.last.oldest_us:  # new here, or taken away and begun anew
        return _begun(seen, rhythm)
    if seen == old.last:
        return replace(old, quiet=old.quiet + 1)
    before = old.last
    known = old.looks[:-1] if minute_of(before.latest_us) == minute_of(seen.latest_us) else old.looks
    told_us, again = old.told_us, old.again
    if seen.latest_us != before.latest_us:  # new records may lie anywhere after what was the newest
        told_us = min(told_us, minute_of(min(seen.latest_us, before.latest_us)))
    elif seen.latest_us > now_us + MINUTE_US:  # the clock was set back: what is written now lies far behind
        again |= _minutes(now_us - rhythm.near_us, now_us)
    turned_us = max(old.turned_us, seen.oldest_us) if seen.oldest_us > before.oldest_us else old.turned_us
    new = replace(old, told_us=told_us, looks=(*known, seen), again=again, turned_us=turned_us, quiet=0)
    if seen.latest_us < before.latest_us:  # somebody removed the newest: the counts begin anew
        new = replace(new, looks=(seen,), base=None, told=None)
    if seen.oldest_us < before.oldest_us:  # older ones than there ever were: a moment that was asked for late
        new = walking(new, minute_of(seen.oldest_us), min(told_us, minute_of(before.oldest_us) + MINUTE_US))
    return _shortened(new, rhythm)


def _begun(seen: Seen, rhythm: Rhythm) -> Watched:
    """Watch an entry from its newest minutes on, and walk through what is older."""
    told_us, oldest_us = minute_of(max(seen.oldest_us, seen.latest_us - rhythm.settle_us)), minute_of(seen.oldest_us)
    return Watched(told_us, (seen,), walk=Walk(oldest_us, told_us) if oldest_us < told_us else None)


def _shortened(watched: Watched, rhythm: Rhythm) -> Watched:
    """Leave all but the newest minute to a walk when too much has come at once to be listed in one go."""
    newest_us = minute_of(watched.last.latest_us)
    if newest_us - watched.told_us <= rhythm.stretch_us:
        return watched
    return walking(replace(watched, told_us=newest_us), watched.told_us, newest_us)


def walking(watched: Watched, start_us: int, stop_us: int) -> Watched:
    """Return it with a walk over these minutes, joined with the one under way."""
    if start_us >= stop_us:
        return watched
    walk = watched.walk
    joined = Walk(min(start_us, walk.next_us), max(stop_us, walk.stop_us)) if walk else Walk(start_us, stop_us)
    return replace(watched, walk=joined)


def walked(watched: Watched, until_us: int, gained: int) -> Watched:
    """Return it after its walk has listed everything before `until_us` and told so many records more than before."""
    if watched.walk is None:
        return watched
    left = Walk(until_us, watched.walk.stop_us) if until_us < watched.walk.stop_us else None
    return replace(watched, walk=left, told=None if watched.told is None else watched.told + gained)


def over_us(watched: Watched, now_us: int, rhythm: Rhythm) -> int:
    """Return before which time in µs the entry's minutes are over: as far as they can be told for good.

    A minute is over when its stream has moved on, when the clock has, or when nothing has changed for long. While
    records come, the clock says nothing of the newest minute: they may be old ones on their way in.
    """
    newest_us = minute_of(watched.last.latest_us)
    by_stream_us = minute_of(watched.last.latest_us - rhythm.settle_us)
    by_clock_us = min(minute_of(now_us - rhythm.settle_us), newest_us + MINUTE_US if watched.quiet else newest_us)
    by_rest_us = newest_us + MINUTE_US if watched.quiet >= rhythm.quiet_looks else 0
    return max(by_stream_us, by_clock_us, by_rest_us)


def due_again(watched: Watched, touched: frozenset[int], now_us: int, rhythm: Rhythm) -> frozenset[int]:
    """Return the told minutes that are to be listed again now; what is not told yet will be listed anyway."""
    settled_us = now_us - MINUTE_US - rhythm.settle_us
    waiting = {minute_us for minute_us in watched.again if minute_us <= settled_us or minute_us > now_us or rhythm.now}
    return frozenset(minute_us for minute_us in waiting | touched if minute_us < watched.told_us)


@dataclass(frozen=True, slots=True)
class Told:
    """Say what a look has told of an entry: up to where its minutes are over, and up to where they were told.

    `gained` are the records told that were not before, None when some minute's old count was not known; `ahead` are
    those newer than the look accounted for.
    """

    over_us: int
    until_us: int
    gained: int | None = 0
    ahead: int = 0
    again: frozenset[int] = frozenset()


def accounted_for(watched: Watched, until_us: int) -> Seen | None:
    """Return the last look at which every record lay before `until_us`: the one that can be accounted for."""
    return next((look for look in reversed(watched.looks) if look.latest_us < until_us), None)


def settled(watched: Watched, done: Told, now_us: int, rhythm: Rhythm) -> Watched:
    """Return what is known after telling; near minutes or a walk are to come if its number is unexplained."""
    told = None if watched.told is None or done.gained is None else watched.told + done.gained
    new = replace(watched, told_us=max(watched.told_us, done.over_us), told=told, again=watched.again - done.again)
    look, base = accounted_for(watched, max(new.told_us, done.until_us)), watched.base
    if look is None or (base is not None and look.latest_us < base.latest_us):
        return new
    if look == base and told is not None and not watched.searched:
        return new
    new = replace(
        new, looks=tuple(item for item in watched.looks if item.latest_us > look.latest_us) or (watched.last,)
    )
    if watched.walk is not None:
        return new  # records are being told that were there before
    steady = base is not None and base.oldest_us >= look.oldest_us
    new = replace(new, base=look)
    if told is None and steady and watched.searched:  # the near minutes were told too long ago to say what changed
        return _searching(new, watched.base or look, now_us, rhythm)
    if told is None or not steady:  # what is listed again in this very look may have come after `look`
        return replace(new, told=None if done.again else look.records + done.ahead, searched=False)
    if look.records == told - done.ahead:
        return replace(new, searched=False)
    if look.records < told - done.ahead and done.again:
        return new  # fewer than told: what was listed again in this very look came after `look`, as a replay does
    return _searching(new, base or look, now_us, rhythm)


def _searching(watched: Watched, since: Seen, now_us: int, rhythm: Rhythm) -> Watched:
    """Look for what came or went unnoted: first in the minutes near by, then, not too often, everywhere."""
    if not watched.searched:
        near_us = max(since.latest_us - rhythm.near_us, watched.told_us - rhythm.stretch_us)
        near = _minutes(near_us, watched.told_us)
        return replace(watched, again=watched.again | near, searched=True)
    if watched.again:
        return watched
    if 0 <= now_us - watched.searched_us < rhythm.search_us:
        return watched
    done = replace(watched, told=None, searched=False, searched_us=now_us)
    return walking(done, minute_of(watched.last.oldest_us), watched.told_us)


def _minutes(start_us: int, stop_us: int) -> frozenset[int]:
    return frozenset(range(max(0, minute_of(start_us)), stop_us, MINUTE_US))
