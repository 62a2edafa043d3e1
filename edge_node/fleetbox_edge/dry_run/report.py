"""What a dry run tells: events, bytes per stream, how much less travels, and which marked moments it would have met."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fleetbox.cli.output import size_text
from fleetbox.events import Event
from fleetbox.naming import SMALL, parent_of
from fleetbox.settings import Policy
from fleetbox.time import iso_time, show_duration, show_time
from fleetbox_edge.dry_run.judging import covering, merged
from fleetbox_edge.dry_run.weighing import Weighed
from fleetbox_edge.triggers import Counts

CUT_US = 60_000_000  # µs; a minute less than was asked for needs no words
LISTED = 20  # events in a table for people; JSON has them all


@dataclass(frozen=True, slots=True)
class DryRun:
    """Hold the outcome; times in µs. `marks` are the moments people or programs marked within the window."""

    policy: Policy
    robot: str
    place: str
    own: bool  # read from the robot's own store: a site has only what travelled
    start_us: int
    stop_us: int
    events: tuple[Event, ...]
    counts: Mapping[str, Counts]
    streams: Mapping[str, Weighed]
    recorded_bytes: int
    selected_bytes: int
    busiest_day_bytes: int
    marks: tuple[Event, ...]
    unreadable: int = 0
    asked_us: tuple[int, int] = (0, 0)
    blind: tuple[str, ...] = ()  # triggers that wait for silence: what did not travel looks like it

    @property
    def reduction(self) -> float | None:
        """Return which share of the recorded bytes would stay on the robot, None where nothing was recorded."""
        return 1 - self.selected_bytes / self.recorded_bytes if self.recorded_bytes else None

    @property
    def missed(self) -> list[Event]:
        """Return the marked moments that no window of the dry run covers."""
        covered = covering(self.events)
        return [mark for mark in self.marks if not covered(mark.time_us)]

    @property
    def recall(self) -> float | None:
        """Return the share of marked moments covered, None where none was marked."""
        return 1 - len(self.missed) / len(self.marks) if self.marks else None

    @property
    def unmarked(self) -> int:
        """Count the events within whose window nobody marked anything."""
        return sum(not any(one.start_us <= mark.time_us <= one.stop_us for mark in self.marks) for one in self.events)

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "robot": self.robot, "place": self.place, "own_store": self.own,
            "start_us": self.start_us, "stop_us": self.stop_us,
            "policy": {"version": self.policy.version, "name": self.policy.name, "hash": self.policy.hash},
            "events": [_event(event) for event in self.events],
            "triggers": {name: asdict(counts) for name, counts in self.counts.items()},
            "streams": [
                {"stream": name, **asdict(one), "selected_bytes": round(one.selected_bytes)}
                for name, one in sorted(self.streams.items())
            ],
            "recorded_bytes": self.recorded_bytes, "selected_bytes": self.selected_bytes,
            "reduction": self.reduction, "window_us": sum(b - a for a, b in merged(_spans(self.events))),
            "busiest_day_bytes": self.busiest_day_bytes, "budget_bytes_per_day": self.policy.budget.bytes_per_day,
            "marks": len(self.marks), "recall": self.recall, "unmarked_events": self.unmarked,
            "missed": [_event(event) for event in self.missed], "unreadable": self.unreadable,
            "left_out": list(self.blind),
        }  # fmt: skip

    def stream_rows(self) -> list[dict[str, Any]]:
        """Return a row per stream for a table, what travels most first."""
        ordered = sorted(self.streams.items(), key=lambda item: -item[1].selected_bytes)
        return [
            {
                "stream": name, "recorded": size_text(one.recorded_bytes) if not one.estimated else "-",
                "always": size_text(one.always_bytes), "events": size_text(one.event_bytes),
                "selected": ("about " if one.estimated else "") + size_text(one.selected_bytes),
            }
            for name, one in ordered
        ]  # fmt: skip

    def lines(self) -> Iterator[str]:
        """Yield what people want to know, the answer last."""
        yield from self._notes()
        for event in self.events[:LISTED]:
            yield f"event    {show_time(event.time_us)}  {event.kind} by {event.trigger}: {event.note}"
        if len(self.events) > LISTED:
            yield f"event    ... {len(self.events) - LISTED} more; --json lists them all"
        for mark in self.missed[:LISTED]:
            yield f"missed   {show_time(mark.time_us)}  {mark.kind} {mark.id} {mark.note}".rstrip()
        fired = Counter(event.trigger for event in self.events)
        for name, counts in self.counts.items():
            yield f"trigger  {name}: {fired[name]} events; {_counted(counts)}"
        yield f"{len(self.events)} events within {show_duration(self.stop_us - self.start_us)}"
        if self.reduction is not None:
            kept = f"{size_text(self.selected_bytes)} of {size_text(self.recorded_bytes)} would travel"
            yield f"{kept}: {100 * self.reduction:.1f} % less"
        if self.recall is not None:
            found = len(self.marks) - len(self.missed)
            yield f"recall   {found} of {len(self.marks)} marked moments ({100 * self.recall:.0f} %)"

    def _notes(self) -> Iterator[str]:
        if not self.own:
            yield f"note     {self.place} holds only what travelled of {self.robot}: the robot's own store knows more"
        if self.blind:
            yield f"note     silence cannot be told from what never travelled: {', '.join(self.blind)} left out"
        if self.start_us > self.asked_us[0] + CUT_US or self.stop_us < self.asked_us[1] - CUT_US:
            yield f"note     records are held from {show_time(self.start_us)} to {show_time(self.stop_us)}"
        if self.unreadable:
            yield f"note     {self.unreadable} records did not open and were passed over"
        budget = self.policy.budget.bytes_per_day
        if budget is not None and self.busiest_day_bytes > budget:
            sizes = f"{size_text(self.busiest_day_bytes)} within a day, above bytes_per_day = {size_text(budget)}"
            yield f"WARN     the budget would not hold: {sizes}"
        if any(parent_of(name)[1] in SMALL and one.estimated for name, one in self.streams.items()):
            yield "note     small frames that nobody made yet are estimated at a typical size"


def _spans(events: tuple[Event, ...]) -> Iterator[tuple[int, int]]:
    return ((event.start_us, event.stop_us) for event in events)


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id, "kind": event.kind, "trigger": event.trigger, "time_us": event.time_us,
        "time": iso_time(event.time_us), "start_us": event.start_us, "stop_us": event.stop_us,
        "streams": list(event.streams), "resolution": event.resolution, "to": event.to, "note": event.note,
    }  # fmt: skip


def _counted(counts: Counts) -> str:
    parts = [f"{counts.judged} records judged"]
    if counts.errors:
        parts.append(f"{counts.errors} failed ({counts.last_error})")
    if counts.muted:
        parts.append(f"{counts.muted} muted ({counts.why_muted})")
    if counts.waited:
        parts.append(f"{counts.waited} before it had all it reads")
    return ", ".join(parts)
