"""Weigh what a policy would send: what always travels, what travels small, and the union of its events' windows."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fleetbox.events import Event
from fleetbox.naming import SMALL, parent_of
from fleetbox.records import Head
from fleetbox.settings.policy import Policy, Small, StreamRule, small_of
from fleetbox_edge.dry_run.judging import merged
from fleetbox_edge.planning import TYPICAL_BYTES
from fleetbox_replication.taking import Taking

PICTURES = "media"  # the class of pictures as they were taken
HOUR_US = 3_600_000_000
DAY_HOURS = 24
PIXELS = {"preview": 640 * 360, "thumbnail": 120 * 68}  # of the frames that TYPICAL_BYTES speaks of


@dataclass(slots=True)
class Weighed:
    """Count one stream's bytes: recorded, and what would travel always and with events, each record once."""

    records: int = 0
    recorded_bytes: int = 0
    always_bytes: float = 0.0
    event_bytes: float = 0.0
    estimated: bool = False  # small frames nobody made yet, at a typical size

    @property
    def selected_bytes(self) -> float:
        """Return what would travel."""
        return self.always_bytes + self.event_bytes


@dataclass(slots=True)
class _Lane:
    """Hold what the policy says of one stream, worked out once."""

    rule: StreamRule
    windows: list[tuple[int, int]]
    starts: list[int]
    small: Small | None = None
    made: bool = True  # False: under this policy nobody would make or record it
    next_us: int = 0


class Scales:
    """Weigh heads, in order of time within each stream; memory grows with streams and events, not with records.

    classes: stream -> its class, of all that the robot has.
    """

    def __init__(self, policy: Policy, classes: Mapping[str, str], events: Sequence[Event]) -> None:
        self._policy, self._streams = policy, classes.keys()
        pictures = [name for name, cls in classes.items() if cls == PICTURES and not parent_of(name)[1]]
        rules = [(name, kind, policy.rule_for(name)) for name in pictures for kind in SMALL]
        made = [f"{name}/{kind}" for name, kind, rule in rules if small_of(rule, kind) is not None]
        taken = [(event, Taking.among(event, [*classes, *made])) for event in events]
        self._takings = [(event, taking) for event, taking in taken if event.to != "robot"]
        self._lanes: dict[str, _Lane] = {}
        self._unmade: dict[str, list[tuple[str, str, Small]]] = {}
        self.streams: dict[str, Weighed] = {}
        self.by_hour: Counter[int] = Counter()

    def add(self, cls: str, head: Head) -> None:
        """Weigh one record."""
        stream = head.entry
        lane = self._lane(stream)
        weighed = self.streams.setdefault(stream, Weighed())
        weighed.records += 1
        weighed.recorded_bytes += head.size
        if lane.made and (size := _thinned(head, lane)):
            self._select(weighed, lane, head.time_us, _end_us(head), size)
        if cls == PICTURES and not parent_of(stream)[1] and head.labels.get("type", "images") == "images":
            self._estimate(stream, head)

    @property
    def recorded_bytes(self) -> int:
        """Return the bytes of all originals: what sending everything would cost."""
        return sum(one.recorded_bytes for name, one in self.streams.items() if parent_of(name)[1] not in SMALL)

    @property
    def selected_bytes(self) -> float:
        """Return what would travel."""
        return sum(one.selected_bytes for one in self.streams.values())

    def busiest_day_bytes(self) -> int:
        """Return the most that would be selected within 24 hours in a row."""
        return max((sum(self.by_hour[hour + back] for back in range(DAY_HOURS)) for hour in self.by_hour), default=0)

    def _estimate(self, stream: str, head: Head) -> None:
        """Weigh the small frames that this policy would make of a picture, where none are recorded."""
        if stream not in self._unmade:
            smalls = [(f"{stream}/{kind}", kind, small_of(self._lane(stream).rule, kind)) for kind in SMALL]
            self._unmade[stream] = [
                (name, kind, small) for name, kind, small in smalls if small and name not in self._streams
            ]
        for name, kind, small in self._unmade[stream]:
            lane = self._lane(name)
            if lane.next_us - small.every <= head.time_us < lane.next_us:
                continue
            lane.next_us = head.time_us + small.every
            weighed = self.streams.setdefault(name, Weighed(estimated=True))
            size = TYPICAL_BYTES[kind] * small.size[0] * small.size[1] / PIXELS[kind]
            weighed.records += 1
            self._select(weighed, lane, head.time_us, head.time_us, size)

    def _select(self, weighed: Weighed, lane: _Lane, time_us: int, end_us: int, size: float) -> None:
        if lane.rule.ship == "always":
            weighed.always_bytes += size
        elif lane.rule.ship == "event" and _meets(lane, time_us, end_us):
            weighed.event_bytes += size
        else:
            return
        self.by_hour[time_us // HOUR_US] += round(size)

    def _lane(self, stream: str) -> _Lane:
        if stream not in self._lanes:
            rule = self._policy.rule_for(stream)
            taking = [event for event, chosen in self._takings if chosen.takes(stream)]
            windows = merged((event.start_us, event.stop_us) for event in taking)
            parent, kind = parent_of(stream)
            small = small_of(self._policy.rule_for(parent), kind) if kind in SMALL else None
            made = rule.keep == "original" if kind not in SMALL else small is not None
            self._lanes[stream] = _Lane(rule, windows, [start for start, _ in windows], small, made)
        return self._lanes[stream]


def _meets(lane: _Lane, time_us: int, end_us: int) -> bool:
    """Tell whether a record that spans [time_us, end_us] reaches into a window."""
    at = bisect_left(lane.starts, end_us + 1) - 1  # the last window that begins before the record ends
    return at >= 0 and lane.windows[at][1] >= time_us


def _thinned(head: Head, lane: _Lane) -> float:
    """Return how many of a record's bytes this policy would have recorded at all: `every` leaves some out."""
    every = lane.small.every if lane.small is not None else lane.rule.every
    if every is None:
        return head.size
    rows = head.labels.get("rows", "")
    if rows.isdecimal() and int(rows):
        return head.size * min(1.0, ((_end_us(head) - head.time_us) // every + 1) / int(rows))
    if lane.next_us - every <= head.time_us < lane.next_us:
        return 0.0
    lane.next_us = head.time_us + every
    return head.size


def _end_us(head: Head) -> int:
    end = head.labels.get("t_end", "")
    return max(head.time_us, int(end)) if end.isdecimal() else head.time_us
