"""Judge how one robot stands by what a site knows of it: the fields of the measurement `robots`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetbox.ledger import MINUTE_US, Key
from fleetbox.settings import Policy
from fleetbox_cloud.feeds.points import Value

SILENT_US = 3 * MINUTE_US  # a robot tells of a minute within 80 s of its end; two later it has stopped, or its link has
GRACE_US = 2 * MINUTE_US  # both ends tell of a minute at different times: until then nothing of it is late
DAY_US = 1440 * MINUTE_US  # how far back lost, unexplained and dropped count: a loss is looked into within a day
OPEN_US = 30 * DAY_US  # how far back letters and what waits count; a ring has let go of what is older
SLOW_S = 600.0  # what waits for so long does not wait for the next batch
SHORT_H = 24.0  # a ring that holds less than a day lets go of what a weekend's outage delays

Trouble = tuple[tuple[str, int], ...]  # what it is, and how many records


@dataclass(frozen=True, slots=True)
class Bad:
    """Count what is not well with one stream's minute on all hops: records."""

    lost: int = 0
    unexplained: int = 0


@dataclass(frozen=True, slots=True)
class Waiting:
    """Count what has not arrived of one stream's minute: records, refused ones by reason."""

    waiting: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Known:
    """Hold what a site knows of a robot; times in µs, 0 = never.

    `newest_us` is that of its newest record, `told_us` that of its newest page, `held_h` what its shortest ring holds,
    None where nobody told. `dropped` counts by when a program gave rows or blobs up.
    """

    robot: str
    newest_us: int = 0
    told_us: int = 0
    held_h: float | None = None
    streams: int | None = None
    streams_well: int | None = None
    policy: Policy | None = None
    refreshed_us: int = 0
    meta_bytes: int = -1  # of its `meta` when it was asked last
    told_trouble: Trouble = ()
    bad: dict[Key, Bad] = field(default_factory=dict)
    open: dict[Key, Waiting] = field(default_factory=dict)
    dropped: Mapping[int, int] = field(default_factory=dict)

    def trouble(self) -> Trouble:
        """Return what is refused, by reason, and what is lost and unexplained: people are told of a change at once."""
        refused: Counter[str] = sum((Counter(one.refused) for one in self.open.values()), Counter())
        lost = sum(one.lost for one in self.bad.values())
        unexplained = sum(one.unexplained for one in self.bad.values())
        return (*sorted(refused.items()), ("lost", lost), ("unexplained", unexplained))

    def forget(self, now_us: int) -> None:
        """Forget losses older than a day, and what is open for longer than anybody tells of it."""
        self.open = {
            key: one for key, one in self.open.items() if (one.waiting or one.refused) and key[2] >= now_us - OPEN_US
        }
        self.bad = {key: one for key, one in self.bad.items() if key[2] >= now_us - DAY_US}


@dataclass(frozen=True, slots=True)
class Letters:
    """Count dead letters of one robot that share a reason, and say since when the oldest waits, in µs."""

    count: int
    since_us: int


def letters_of(known: Known) -> dict[str, Letters]:
    """Return what a robot's site would not take, by reason, as the ledger tells it."""
    found: dict[str, Letters] = {}
    for (_, _, minute_us), waiting in known.open.items():
        for reason, count in waiting.refused.items():
            before = found.get(reason, Letters(0, minute_us))
            found[reason] = Letters(before.count + count, min(before.since_us, minute_us))
    return found


def fields_of(known: Known, letters: int, now_us: int) -> dict[str, Value]:
    """Return the fields of a robot's point; `letters` counts the dead letters of all its hops here."""
    newest_us = known.newest_us
    late = [key[2] for key, one in known.open.items() if one.waiting and key[2] + MINUTE_US + GRACE_US <= now_us]
    fields: dict[str, Value] = {
        "recording": bool(newest_us) and now_us - newest_us < SILENT_US,
        "age_s": max(0, now_us - newest_us) / 1e6 if newest_us else None,
        "lag_s": (now_us - min(late)) / 1e6 if late else 0.0,
        "held_h": known.held_h,
        "waiting": sum(one.waiting for one in known.open.values()),
        "refused": sum(sum(one.refused.values()) for one in known.open.values()),
        "lost": sum(one.lost for one in known.bad.values()),
        "unexplained": sum(one.unexplained for one in known.bad.values()),
        "dropped": sum(rows for at_us, rows in known.dropped.items() if at_us >= now_us - DAY_US),
        "streams": known.streams,
        "streams_well": known.streams_well,
        "dead_letters": letters,
    }
    return {"trouble": trouble(fields, heard=now_us - known.told_us < SILENT_US), **fields}


def trouble(fields: Mapping[str, Value], *, heard: bool) -> int:
    """Rank a robot: 0 is well, and what cannot be made good weighs most.

    1000 for records lost or unexplained, 400 for a robot not heard of, 200 for dead letters and refusals, 100 for
    streams that deliver too little, 40 for drops, 20 for a lag beyond ten minutes, 10 for a ring that holds less than a
    day, 5 for one that is heard of and records nothing: it may be parked.
    """

    def number(name: str) -> float:
        value = fields.get(name)
        return float(value) if isinstance(value, int | float) else 0.0

    held_h = fields.get("held_h")
    return (
        1000 * (number("lost") + number("unexplained") > 0)
        + (0 if fields.get("recording") else 5 if heard else 400)
        + 200 * (number("dead_letters") + number("refused") > 0)
        + 100 * (number("streams_well") < number("streams"))
        + 40 * (number("dropped") > 0)
        + 20 * (number("lag_s") > SLOW_S)
        + 10 * (isinstance(held_h, float) and held_h < SHORT_H)
    )
