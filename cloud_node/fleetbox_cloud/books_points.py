"""Turn the terms of stream-minutes into points of the measurement `books`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from fleetbox.ledger import Key, Ledger, minute_of
from fleetbox_replication.audit.books import Range, minutes
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.order import holes
from fleetbox_replication.audit.overrun import overrun
from fleetbox_replication.audit.terms import Terms

MEASUREMENT = "books"
EVER_US = 1 << 62
_TAG = re.compile(r"([,= \\])")  # what line protocol wants escaped; names of streams have none of it, foreign ones may


@dataclass(frozen=True, slots=True)
class View:
    """Say how a ledger is looked at: now, whole since a minute, in µs, and with which streams shipping whole."""

    now_us: int
    floor_us: int = 0
    always: Callable[[str], bool] = lambda stream: False

    @property
    def range(self) -> Range:
        """Return every minute, judged now."""
        return Range(0, EVER_US, self.now_us)


def lines(ledger: Ledger, hop: Hop, keys: Iterable[Key], untold: Mapping[Key, Terms], view: View) -> Iterator[str]:
    """Yield line protocol, a point per stream's minute on a hop, for those of the keys that hold anything.

    Samples dropped and missing stand with the first hop, where they were to begin, as does what a ring took untold.
    """
    dropped = _dropped(ledger) if hop.first else Counter[Key]()
    own = ledger.of(ledger.robot) if hop.first else {}
    for key, terms in minutes(ledger, hop, view.range, keys):
        if hop.first and key in untold:
            terms.add(untold[key])
        missing = own[key].line.missing if key in own else 0
        if terms.recorded or missing or dropped[key]:
            yield line(ledger.robot, hop.site, key, {**fields(terms), "dropped": dropped[key], "missing": missing})


def fields(terms: Terms) -> dict[str, int]:
    """Return the fields of a point but for what stands beside the equations."""
    return {
        "recorded": terms.recorded,
        "selected": terms.selected,
        "kept_on_robot": terms.kept,
        "arrived": terms.arrived,
        "waiting": terms.waiting,
        "refused": terms.refused.total(),
        "lost": terms.lost.total(),
        "unexplained": terms.unexplained,
    }


def line(robot: str, site: str, key: Key, values: dict[str, int]) -> str:
    """Return one point: tags robot, site, stream and class; integers; its time is the minute's start in µs."""
    cls, stream, minute_us = key
    tags = f"robot={_tag(robot)},site={_tag(site)},stream={_tag(stream)},class={cls}"
    return f"{MEASUREMENT},{tags} {','.join(f'{name}={value}i' for name, value in values.items())} {minute_us}"


def open_keys(ledger: Ledger, hops: Iterable[Hop], view: View) -> set[Key]:
    """Return the minutes of which something is on its way still or refused: time and pages may change them."""
    return {
        key
        for hop in hops
        for key, terms in minutes(ledger, hop, view.range)
        if terms.waiting or terms.refused or terms.unexplained
    }


def untold(ledger: Ledger, hop: Hop, view: View) -> dict[Key, Terms]:
    """Return per minute what the robot's ring took before any page told of it; see `overrun`."""
    whole = {key: folded for key, folded in ledger.of(ledger.robot).items() if key[2] >= view.floor_us}
    found: dict[Key, Terms] = {}
    for key, terms in overrun(ledger, hop, holes(whole, view.floor_us), view.always) if hop.first else ():
        found.setdefault(key, Terms()).add(terms)
    return found


def _dropped(ledger: Ledger) -> Counter[Key]:
    found: Counter[Key] = Counter()
    for drop in ledger.drops:
        found[drop.cls, drop.stream, minute_of(drop.time_us)] += drop.rows
    return found


def _tag(text: str) -> str:
    return _TAG.sub(r"\\\1", text)
