"""Lint the rules of events: what nobody raises, and windows that a ring in memory does not reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from fleetbox.selectors import matches_glob
from fleetbox.settings.policy import EventRule, Policy
from fleetbox.time import show_duration
from fleetbox_edge.linting.findings import Finding, KnownStream
from fleetbox_edge.linting.globs import meets

DEFAULT = "default"


def lint_events(policy: Policy, known: Sequence[KnownStream] | None) -> Iterator[Finding]:
    """Yield what cannot be meant so in the rules of events."""
    raised = {rule.event or name for name, rule in policy.trigger.items()}
    yield from _lint_names(policy, raised)
    for kind in sorted({*policy.event, *raised}):
        key = f"event.{kind}" if kind in policy.event else "event.default"
        yield from _lint_window(policy, key, policy.event_rule(kind), known)


def _lint_names(policy: Policy, raised: set[str]) -> Iterator[Finding]:
    unused = [kind for kind in policy.event if kind not in raised and kind != DEFAULT]
    for kind in unused if policy.trigger else ():
        near = get_close_matches(kind, [name for name in raised if name not in policy.event], 1)
        said = f"did you mean {near[0]!r}?" if near else "fine where people or programs mark it themselves"
        yield Finding("warning", f"event.{kind}", f"no trigger raises {kind!r}", said)


def _lint_window(policy: Policy, key: str, rule: EventRule, known: Sequence[KnownStream] | None) -> Iterator[Finding]:
    for glob, stream in policy.stream.items():
        if stream.ring is None or stream.ring >= rule.pre or not any(meets(wanted, glob) for wanted in rule.streams):
            continue
        spans = f"{show_duration(stream.ring)} in memory, and the event asks for {show_duration(rule.pre)} before it"
        step = f"say ring = 'ram {rule.pre // 1_000_000 + 1} s', or a shorter pre"
        yield Finding("warning", f"{key}.pre", f"{glob!r} keeps {spans}: the rest is gone by then", step)
    if rule.to == "robot":
        return
    for wanted in rule.streams:
        taken = [glob for glob in policy.stream if meets(wanted, glob)]
        if taken and all(policy.stream[glob].ship == "never" for glob in taken) and not _reaches_more(policy, wanted):
            message = f"all that {wanted!r} matches is under ship = 'never'"
            yield Finding("warning", f"{key}.streams", message, "take it out, or let those streams ship with an event")
        if known is not None and not any(matches_glob(wanted, stream.name) for stream in known):
            message = f"no stream the robot has recorded matches {wanted!r}"
            yield Finding("warning", f"{key}.streams", message, "name streams as `fleetbox ls` shows them")


def _reaches_more(policy: Policy, wanted: str) -> bool:
    """Tell whether a glob may match streams that no rule speaks of: those ship with an event."""
    from fleetbox_edge.linting.globs import covers

    return not any(covers(glob, wanted) for glob in policy.stream)
