"""Turn what a recording program says of a moment into an event, checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from fleetbox import events
from fleetbox.errors import InputError
from fleetbox.settings import Policy
from fleetbox.settings.policy import MAX_POST
from fleetbox.time import parse_duration, show_duration

Span = str | float | timedelta


@dataclass(frozen=True, slots=True)
class Moment:
    """Hold what was asked for; None takes the policy's."""

    kind: str
    time_us: int
    pre: Span | None
    post: Span | None
    streams: str | Sequence[str] | None
    note: str
    resolution: str | None = None
    to: str | None = None
    trigger: str = ""  # the rule that raised it
    labels: Mapping[str, object] = field(default_factory=dict)


def event_of(moment: Moment, robot: str, policy: Policy, session_id: str) -> events.Event:
    """Return the event as the policy completes it; raises InputError for what cannot be."""
    for name, text in (("kind", moment.kind), ("note", moment.note)):
        if not isinstance(text, str):
            raise InputError(f"an event's {name} is a {type(text).__name__}", "use text")
    rule = policy.event_rule(moment.kind)
    start_us = moment.time_us - (rule.pre if moment.pre is None else _span_us("pre", moment.pre))
    stop_us = moment.time_us + (rule.post if moment.post is None else _span_us("post", moment.post))
    globs = rule.streams if moment.streams is None else _globs(moment.streams)
    return events.new_event(
        events.Event(
            "", moment.kind, robot, moment.time_us, start_us, stop_us, globs, moment.note,
            policy.hash, by=session_id, resolution=moment.resolution or rule.resolution, to=moment.to or rule.to,
            trigger=moment.trigger, labels={str(name): _label_text(value) for name, value in moment.labels.items()},
        )
    )  # fmt: skip


def around(moment: Moment, start_us: int, stop_us: int, now_us: int) -> Moment:
    """Return the moment as the one that keeps [start, stop]: now, or the end of the interval that is nearer to it.

    Raises InputError for an interval that ends before it begins, or further ahead than an event may wait.
    """
    if start_us > stop_us:
        raise InputError("start lies behind stop", 'give them in order of time, such as start="-30s", stop="+10s"')
    if stop_us > now_us + MAX_POST:
        ahead = f"{show_duration(stop_us - now_us)} ahead"
        raise InputError(f"stop is {ahead}", f"keep at most {MAX_POST // 1_000_000} s of what is still to come")
    time_us = min(max(now_us, start_us), stop_us)
    spans = timedelta(microseconds=time_us - start_us), timedelta(microseconds=stop_us - time_us)
    return replace(moment, time_us=time_us, pre=spans[0], post=spans[1])


def encode(event: events.Event) -> bytes:
    """Return the event's JSON; raises InputError for text that UTF-8 cannot hold."""
    try:
        return events.encode(event)
    except UnicodeEncodeError as error:
        raise InputError(
            f"an event's text cannot be written as UTF-8: {error.reason}", "remove lone surrogates"
        ) from None


def _label_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _span_us(name: str, given: Span) -> int:
    try:
        span_us = parse_duration(given)
    except (TypeError, ValueError, OverflowError) as error:  # a list, a NaN
        raise InputError(f"{name} {given!r} is no duration", "write it like 10s, or give seconds") from error
    if span_us < 0:
        raise InputError(f"{name} {given!r} is negative", "give how much to keep, 0 or more")
    return span_us


def _globs(streams: str | Sequence[str]) -> tuple[str, ...]:
    globs = (streams,) if isinstance(streams, str) else tuple(streams) if isinstance(streams, Iterable) else ()
    if not globs or not all(isinstance(glob, str) and glob for glob in globs):
        raise InputError(f"streams {streams!r} of an event are no globs", 'give one or several, such as "cam/*"')
    return globs
