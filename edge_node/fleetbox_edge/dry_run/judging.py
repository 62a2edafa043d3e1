"""Judge stored records as the robot would have judged them as they came, with silences and switched-off stretches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from fleetbox.events import MAX_NOTE_CHARS, Event
from fleetbox.settings import Policy
from fleetbox_edge.marks import Moment, event_of
from fleetbox_edge.triggers import Counts, Firing, Judge, Reading, Rules

TICK_US = 1_000_000  # µs of recorded time between looks for silence: a gap's event is stamped where it began anyway


@dataclass(slots=True)
class Judged:
    """Feed one robot's records to the triggers of a policy, in order of time, and gather the events raised."""

    policy: Policy
    rules: Rules
    robot: str
    events: list[Event] = field(default_factory=list)
    _judge: Judge = field(init=False)
    _before: dict[str, Counts] = field(default_factory=dict)
    _tick_us: int | None = None

    def __post_init__(self) -> None:
        self._judge = Judge(self.rules, self.robot)

    def take(self, readings: Iterable[Reading]) -> None:
        """Judge readings; they come in order of time, also from call to call."""
        for reading in readings:
            self.pass_time(reading.time_us)
            self._raise(self._judge.read(reading, reading.time_us))

    def pass_time(self, until_us: int) -> None:
        """Let recorded time go on without a record."""
        if self._tick_us is None:
            self._raise(self._judge.tick(until_us))  # from now on it is watched for streams that never come
            self._tick_us = until_us
        while self._tick_us + TICK_US <= until_us:
            self._tick_us += TICK_US
            self._raise(self._judge.tick(self._tick_us))

    def restart(self) -> None:
        """Forget how the streams stood: the robot was off in between, and nobody watched."""
        if self._tick_us is None:
            return
        self._before = self.counts()
        self._judge = Judge(self.rules, self.robot)
        self._judge.seed((event.trigger, event.time_us) for event in self.events)
        self._tick_us = None

    def counts(self) -> dict[str, Counts]:
        """Return what became of each rule's records."""
        return {name: _added(self._before.get(name), now) for name, now in self._judge.counts().items()}

    def _raise(self, firings: Iterable[Firing]) -> None:
        for firing in firings:
            note = firing.note[:MAX_NOTE_CHARS]
            moment = Moment(firing.kind, firing.time_us, None, None, None, note, trigger=firing.trigger)
            self.events.append(event_of(moment, self.robot, self.policy, "dry-run"))  # as the robot itself makes it


def covering(events: Iterable[Event]) -> Callable[[int], bool]:
    """Return what tells whether a moment lies in any event's window."""
    windows = merged((event.start_us, event.stop_us) for event in events)
    return lambda time_us: any(start <= time_us <= stop for start, stop in windows)


def merged(windows: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return closed intervals joined where they overlap or touch, in order."""
    out: list[tuple[int, int]] = []
    for start, stop in sorted(windows):
        if out and start <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(out[-1][1], stop)
        else:
            out.append((start, stop))
    return out


def _added(before: Counts | None, now: Counts) -> Counts:
    if before is None:
        return now
    return replace(
        now, judged=before.judged + now.judged, fired=before.fired + now.fired, errors=before.errors + now.errors,
        muted=before.muted + now.muted, waited=before.waited + now.waited,
        last_error=now.last_error or before.last_error, why_muted=now.why_muted or before.why_muted,
    )  # fmt: skip
