"""How one rule stands on one stream, and what is done with a stream's records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetbox_edge.triggers.readings import Reading, Trace
from fleetbox_edge.triggers.rules import Rule
from fleetbox_edge.triggers.voice import Voice

NOTE_CHARS = 400  # of the values that made a moment; a log line may be a page long
VALUE_CHARS = 120


@dataclass(frozen=True, slots=True)
class Firing:
    """Hold one moment: the rule, the kind of event it raises, when, on which stream, what was seen, and where."""

    trigger: str
    kind: str
    time_us: int
    stream: str
    note: str
    place: Mapping[str, float] = field(default_factory=dict)  # labels lat and lon, or x and y, of a rule with a fence


def _always(_: Any) -> bool:
    return True


class Watch:
    """Hold since when a rule holds on a stream, and whether that was said."""

    __slots__ = (
        "execute", "fence", "given", "reading", "rule", "seen_us", "since_us", "stream", "told", "voice", "waits_for",
    )  # fmt: skip

    def __init__(self, rule: Rule, stream: str, voice: Voice) -> None:
        self.rule, self.stream, self.voice = rule, stream, voice
        self.execute: Callable[[Any], Any] = _always if rule.program is None else rule.program.execute
        self.fence = rule.fence
        self.waits_for = rule.waits_for
        self.since_us: int | None = None  # stamp of the record since which it holds; of a gap's last record
        self.seen_us: int | None = None  # when that record was seen; of a gap without any: since when it is watched
        self.told = False
        self.given: Mapping[str, Any] = {}  # what was seen last while it held, for the note
        self.reading: Reading | None = None

    def place(self) -> dict[str, float]:
        """Return the position that a fence was asked about, by the labels that events are found by."""
        fence, fields = self.rule.rule.fence, self.reading.fields if self.reading is not None else None
        if fence is None or not fields:
            return {}
        names = ("x", "y") if fence.plane else ("lat", "lon")
        return {name: float(fields[own]) for name, own in zip(names, fence.fields, strict=True)}

    def seen(self) -> str:
        """Say what was seen: the expression's names with their values, and the position."""
        values = {name: self.given[name] for name in sorted(self.rule.names) if name in self.given}
        if self.rule.rule.fence is not None and self.reading is not None:
            fields = self.reading.fields or {}
            values |= {name: fields[name] for name in self.rule.rule.fence.fields if name in fields}
        listed = ", ".join(f"{name}={_short(value)}" for name, value in values.items())
        return f"{self.stream}: {listed}"[:NOTE_CHARS] if listed else self.stream


class Plan:
    """Hold what is done with a stream's records: watches that share a context, gaps, and what is remembered."""

    __slots__ = ("gaps", "groups", "is_source", "trace", "wanted")

    def __init__(self, watches: Iterable[Watch], is_source: bool) -> None:
        watches = list(watches)
        self.gaps = [watch for watch in watches if watch.rule.rule.gap is not None]
        groups: dict[tuple[tuple[str, str], ...], list[Watch]] = {}
        for watch in watches:
            if watch.rule.rule.gap is None:  # one alias may name different streams in two rules
                groups.setdefault(tuple(sorted(watch.rule.rule.using.items())), []).append(watch)
        self.groups = list(groups.items())
        self.wanted: frozenset[str] = frozenset().union(*(watch.rule.names for watch in watches))
        self.trace = Trace() if self.wanted & {"rate", "hz"} else None
        self.is_source = is_source


def _short(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= VALUE_CHARS else f"{text[: VALUE_CHARS - 1]}…"
