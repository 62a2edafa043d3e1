"""Compile a policy's triggers into rules that can be run on records, or say what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from fleetbox.errors import InputError
from fleetbox.events import STREAM, Event, new_event
from fleetbox.naming import parent_of
from fleetbox.orders import ANSWERS, POLICIES
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings import Policy
from fleetbox.settings.policy import TriggerRule
from fleetbox_edge.triggers.expressions import compile_expression
from fleetbox_edge.triggers.fences import fence_test

GIVEN = frozenset({"labels", "fields", "text", "level", "rate", "hz", "stream"})  # names an expression may use
OURS = frozenset({STREAM, ANSWERS, POLICIES, "fleetbox"})  # streams that make no moment: they tell of them
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Rule:
    """Hold one trigger, compiled: what it reads (`names`), and its expression, fence or gap."""

    name: str
    rule: TriggerRule
    kind: str  # of the event it raises
    program: Any = field(default=None, compare=False)
    fence: Callable[[Mapping[str, Any]], bool] | None = field(default=None, compare=False)
    names: frozenset[str] = frozenset()

    @property
    def waits_for(self) -> frozenset[str]:
        """Return the names without which it cannot be judged yet: a second record, or another stream's first."""
        return self.names & (frozenset({"rate", "hz"}) | self.rule.using.keys())


@dataclass(frozen=True)
class Rules:
    """Hold a policy's triggers; `sources` are streams whose newest row some expression reads."""

    all: tuple[Rule, ...] = ()
    sources: frozenset[str] = frozenset()

    def on(self, stream: str) -> tuple[Rule, ...]:
        """Return the rules that judge a stream; small frames and our own streams only by their full names."""
        made = bool(parent_of(stream)[1]) or stream.partition("/")[0] in OURS
        return tuple(
            rule for rule in self.all if rule.rule.on == stream or (not made and matches_glob(rule.rule.on, stream))
        )

    def reads(self, stream: str) -> frozenset[str] | None:
        """Return the first parts of the field names that a stream's rules read, None for all fields."""
        rules = self.on(stream)
        names = frozenset().union(*(rule.names for rule in rules)) if rules else frozenset()
        if stream in self.sources or names & {"fields", "rate"}:
            return None
        fences = {name.partition(".")[0] for rule in rules if rule.rule.fence for name in rule.rule.fence.fields}
        return names | fences

    def wants(self, stream: str) -> bool:
        """Tell whether a stream's records are needed at all."""
        return stream in self.sources or bool(self.on(stream))


def compile_rules(policy: Policy) -> Rules:
    """Return a policy's rules; raise InputError that names each trigger which cannot work, and why."""
    rules, faults = compile_each(policy)
    if faults:
        listed = "; ".join(f"trigger {name}: {why}" for name, why in faults.items())
        raise InputError(listed, "correct them, and try `fleetbox policy lint FILE`")
    return rules


def compile_each(policy: Policy) -> tuple[Rules, dict[str, str]]:
    """Return the rules that work and what is wrong with each of the others."""
    rules: list[Rule] = []
    faults: dict[str, str] = {}
    for name, rule in policy.trigger.items():
        try:
            rules.append(_compiled(name, rule))
        except InputError as error:
            faults[name] = error.message
    sources = {stream for rule in rules for stream in rule.rule.using.values()}
    if policy.idle.on is not None:
        sources.add(policy.idle.on)
    return Rules(tuple(rules), frozenset(sources)), faults


def _compiled(name: str, rule: TriggerRule) -> Rule:
    kind = rule.event or name
    new_event(Event("", kind, "robot", 0, 0, 0), lambda _: 0)  # raises for a name that no event may have
    _check_streams(rule)
    program = None if rule.when is None else compile_expression(rule.when)
    names = frozenset() if program is None else frozenset(program.variables())
    for alias in rule.using:
        if not _NAME.fullmatch(alias) or alias in GIVEN:
            raise InputError(f"using.{alias} cannot be a name in an expression")
        if alias not in names:
            raise InputError(f"using.{alias} is not in the expression")
    fence = None if rule.fence is None else fence_test(rule.fence)
    return Rule(name, rule, kind, program, fence, names)


def _check_streams(rule: TriggerRule) -> None:
    try:
        matches_glob(rule.on, "")
    except re.error as error:
        raise InputError(f"on = {rule.on!r} is no glob: {error}") from None
    for alias, stream in rule.using.items():
        if is_glob(stream):
            raise InputError(f"using.{alias} = {stream!r} must name one stream")
