"""Say what a policy does with each stream: what is recorded, kept and shipped, how far, and which rule says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fleetbox.naming import SMALL, parent_of
from fleetbox.selectors import matches_glob
from fleetbox.settings.policy import Policy, Small, StreamRule, small_of
from fleetbox.settings.policy.hours import Hours
from fleetbox.time import show_duration
from fleetbox_edge.linting import KnownStream

ANY_OTHER = "(any other)"  # no name of a stream: it matches no glob but **
DAY_S = 86_400
PICTURES = "images"
BUILT_IN = "built in"  # what holds of streams that no rule speaks of
TYPICAL_BYTES = {"preview": 40_000, "thumbnail": 2_500}  # a frame of 640x360, of 120x68; bench/events.py


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """Hold what becomes of one stream; `was` tells, by word, what the policy in force says instead.

    bytes_per_day: what travels without any event, estimated from the last seconds recorded; None: not known.
    """

    stream: str
    rule: str
    recorded: str
    ships: str
    to: str
    small: str
    kept: str
    bytes_per_day: float | None
    was: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def plan_streams(policy: Policy, before: Policy, known: Sequence[KnownStream]) -> list[StreamPlan]:
    """Return what becomes of each known stream, small frames with the stream they are made of."""
    originals = [stream for stream in known if not parent_of(stream.name)[1]]
    sizes = {stream.name: _bytes_each(stream) for stream in known}
    return [_plan(stream, policy, before, sizes) for stream in originals]


def plan_rules(policy: Policy, before: Policy) -> list[StreamPlan]:
    """Return what becomes of streams by rule, where no robot's streams are known."""
    rest = () if "**" in policy.stream else (ANY_OTHER,)
    return [_plan(KnownStream(glob), policy, before, {}) for glob in (*policy.stream, *rest)]


def glob_of(policy: Policy, stream: str) -> str:
    """Return the glob whose rule decides on a stream's original, or `built in`."""
    parent, _ = parent_of(stream)
    own = parent if policy.rule_for(parent) is not policy.rule_for(stream) else stream
    return next((glob for glob in policy.stream if matches_glob(glob, own)), BUILT_IN)


def _plan(stream: KnownStream, policy: Policy, before: Policy, sizes: dict[str, float | None]) -> StreamPlan:
    rule, glob = _rule(policy, stream.name)
    old, _ = _rule(before, stream.name)
    pictures = stream.type in ("", PICTURES)
    now, then = _words(rule, pictures), _words(old, pictures)
    was = {name: text for name, text in then.items() if now[name] != text}
    return StreamPlan(stream.name, glob, **now, bytes_per_day=_daily(stream, rule, sizes), was=was)


def _rule(policy: Policy, name: str) -> tuple[StreamRule, str]:
    if name in policy.stream:  # a glob stands for the streams it matches
        return policy.stream[name], name
    glob = glob_of(policy, name)
    return (policy.stream[glob] if glob != BUILT_IN else StreamRule()), glob


def _words(rule: StreamRule, pictures: bool) -> dict[str, str]:
    return {
        "recorded": _recorded(rule, pictures),
        "ships": ships_text(rule),
        "to": "-" if rule.ship in ("never", "small") else rule.to,
        "small": _small(rule) if pictures else "-",
        "kept": f"{show_duration(rule.retention)}, then deleted" if rule.retention else "as long as the ring holds it",
    }


def _recorded(rule: StreamRule, pictures: bool) -> str:
    if rule.keep != "original" and pictures:
        return f"{rule.keep} only"
    every = f"one each {show_duration(rule.every)}" if rule.every else "all"
    return f"{every}; {show_duration(rule.ring)} in memory only, to disk with an event" if rule.ring else every


def ships_text(rule: StreamRule) -> str:
    """Say in words what travels of an original, and when."""
    texts = {"always": "always", "event": "with an event", "small": "small frames only", "never": "never"}
    if isinstance(rule.at, Hours):
        first, last = rule.at.first, rule.at.last
        return f"always, {first // 60:02}:{first % 60:02}-{last // 60:02}:{last % 60:02}"
    return "always, when idle" if rule.at else texts[rule.ship]


def _small(rule: StreamRule) -> str:
    if rule.ship == "never":
        return "-"
    texts = []
    for kind in SMALL:
        if (small := small_of(rule, kind)) is not None:
            width, height = small.size
            ships = "always" if small.ship == "always" else "with an event"
            texts.append(f"{kind} {width}x{height} each {show_duration(small.every)} {ships} to {small.to}")
    return ", ".join(texts) or "-"


def _daily(stream: KnownStream, rule: StreamRule, sizes: dict[str, float | None]) -> float | None:
    """Estimate the bytes a day that travel without any event."""
    if rule.ship == "never" or stream.hz is None or not stream.bytes_per_s:
        return 0.0 if rule.ship == "never" else None
    share = min(1.0, 1e6 / rule.every / stream.hz) if rule.every else 1.0
    whole = stream.bytes_per_s * DAY_S * share if rule.ship == "always" else 0.0
    smalls = [(kind, small_of(rule, kind)) for kind in SMALL] if stream.type == PICTURES else []
    return whole + sum(_small_daily(stream, kind, small, sizes) for kind, small in smalls if small is not None)


def _small_daily(stream: KnownStream, kind: str, small: Small, sizes: dict[str, float | None]) -> float:
    if small.ship != "always":
        return 0.0
    each = sizes.get(f"{stream.name}/{kind}") or TYPICAL_BYTES[kind]
    return each * min(stream.hz or 0.0, 1e6 / small.every) * DAY_S


def _bytes_each(stream: KnownStream) -> float | None:
    return stream.bytes_per_s / stream.hz if stream.bytes_per_s and stream.hz else None
