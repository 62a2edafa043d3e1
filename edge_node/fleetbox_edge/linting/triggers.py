"""Lint the triggers: what they listen to, what they ask, how often they may speak."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from fleetbox.events import MAX_KIND_CHARS
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings.policy import Policy, TriggerRule
from fleetbox_edge.linting.expressions import lint_expression, names_in
from fleetbox_edge.linting.findings import Finding, KnownStream
from fleetbox_edge.linting.names import Scope
from fleetbox_edge.linting.solving import Kind
from fleetbox_edge.linting.trial import kind_of
from fleetbox_edge.triggers.rules import GIVEN, compile_each

KIND = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
NAME = re.compile(r"[A-Za-z_]\w*")
ROOTS: dict[str, Kind | None] = {
    **dict.fromkeys(GIVEN), "text": "text", "level": "text", "stream": "text", "hz": "number",
}  # fmt: skip
TEXT_TYPES = frozenset({"log"})
ROW_TYPES = frozenset({"time_series"})

Known = Sequence[KnownStream] | None


def lint_triggers(policy: Policy, known: Known) -> Iterator[Finding]:
    """Yield what cannot be meant so in the triggers; `known` are the robot's streams, None where no robot was asked."""
    _, faults = compile_each(policy)
    for name, rule in policy.trigger.items():
        key = f"trigger.{name}"
        found = [*_lint_one(name, rule, key, known), *_lint_pace(policy, rule, key)]
        yield from found
        if name in faults and not any(finding.level == "error" for finding in found):
            yield Finding("error", key, faults[name], "no robot takes a policy with a trigger that cannot work")


def _lint_one(name: str, rule: TriggerRule, key: str, known: Known) -> Iterator[Finding]:
    yield from _lint_kind(name, rule, key)
    yield from _lint_streams(rule, key, known)
    yield from _lint_using(rule, key, known)
    if rule.when is not None:
        yield from lint_expression(rule.when, f"{key}.when", scope_of(rule, known))
    if rule.fence is not None and known:
        yield from _lint_fence(rule, key, known)


def scope_of(rule: TriggerRule, known: Known) -> Scope:
    """Return what a trigger's expression may read."""
    roots = dict(ROOTS)
    unknown = [alias for alias, source in rule.using.items() if not _fields_of(source, known)]
    roots |= dict.fromkeys(unknown)  # of a stream that is not known, any field may be right
    streams = [stream for stream in known or () if matches_glob(rule.on, stream.name)]
    if not streams or not all(stream.type in (*ROW_TYPES, *TEXT_TYPES, "images") for stream in streams):
        return Scope(None, roots, rule.on)
    dtypes = {name: dtype for stream in streams for name, dtype in stream.fields.items()}
    for alias, source in rule.using.items():
        dtypes.update({f"{alias}.{name}": dtype for name, dtype in _fields_of(source, known).items()})
    return Scope({name: kind_of(dtype) for name, dtype in dtypes.items()}, roots, rule.on, dtypes)


def _fields_of(stream: str, known: Known) -> Mapping[str, str]:
    return next((one.fields for one in known or () if one.name == stream), {})


def _lint_kind(name: str, rule: TriggerRule, key: str) -> Iterator[Finding]:
    kind = rule.event or name
    if len(kind) > MAX_KIND_CHARS or not KIND.fullmatch(kind):
        step = f"use up to {MAX_KIND_CHARS} of A-Z a-z 0-9 _ -, starting with a letter, or name one with event = ..."
        yield Finding("error", key, f"{kind!r} is not usable as the kind of an event", step)


def _lint_streams(rule: TriggerRule, key: str, known: Known) -> Iterator[Finding]:
    if known is not None and not any(matches_glob(rule.on, stream.name) for stream in known):
        yield Finding("warning", f"{key}.on", f"no stream the robot has recorded matches {rule.on!r}", _there(known))
    if rule.gap is not None and is_glob(rule.on):
        message = f"{rule.on!r} is a glob: a stream that never came at all is no gap"
        yield Finding("warning", f"{key}.gap", message, "name the stream in full where it must exist")


def _lint_using(rule: TriggerRule, key: str, known: Known) -> Iterator[Finding]:
    names = names_in(rule.when) if rule.when is not None else frozenset()
    for alias, stream in rule.using.items():
        place = f"{key}.using.{alias}"
        if alias in ROOTS or not NAME.fullmatch(alias):
            yield Finding("error", place, f"{alias!r} is not free to name a stream", "choose a short name such as bat")
        if alias not in names:
            yield Finding("error", place, f"the expression does not read {alias!r}", "drop it or use it in `when`")
        if is_glob(stream):
            yield Finding("error", place, f"{stream!r} is a glob", "name one stream in full")
        elif known is not None and not any(one.name == stream for one in known):
            yield Finding("warning", place, f"the robot has recorded no stream {stream!r}", _there(known))


def _lint_fence(rule: TriggerRule, key: str, known: Sequence[KnownStream]) -> Iterator[Finding]:
    assert rule.fence is not None
    streams = [one for one in known if matches_glob(rule.on, one.name) and one.fields]
    for stream in streams:
        lacking = [name for name in rule.fence.fields if name not in stream.fields]
        if lacking:
            have = ", ".join(sorted(stream.fields)[:8])
            message = f"{stream.name} has no field {' and no field '.join(map(repr, lacking))} to place on the map"
            yield Finding("error", f"{key}.fence.fields", message, f'it has {have}; say fields = ["x", "y"]')


def _lint_pace(policy: Policy, rule: TriggerRule, key: str) -> Iterator[Finding]:
    if rule.mode != "level":
        return
    if policy.budget.bytes_per_day is None:
        message = "mode = 'level' speaks as long as it holds, and no budget bounds what that selects"
        yield Finding("warning", f"{key}.mode", message, "say budget = { bytes_per_day = '2 GB' }, or mode = 'rising'")
    if rule.cooldown == 0:
        message = "mode = 'level' without a cooldown makes an event of every record"
        yield Finding("warning", f"{key}.cooldown", message, "say how far apart two events are: cooldown = '10s'")


def _there(known: Sequence[KnownStream]) -> str:
    names = [stream.name for stream in known]
    return f"it has {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}" if names else "it has none yet"
