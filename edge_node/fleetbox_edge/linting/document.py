"""Lint a whole policy: streams, events, triggers, hops, expiry, idle time, and the tasks that follow from it."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches

from fleetbox.errors import InputError
from fleetbox.naming import CLASSES
from fleetbox.settings.policy import Policy
from fleetbox.time import iso_time
from fleetbox_edge.linting.events import lint_events
from fleetbox_edge.linting.expressions import lint_expression
from fleetbox_edge.linting.findings import Finding, KnownStream
from fleetbox_edge.linting.names import Scope
from fleetbox_edge.linting.streams import lint_streams
from fleetbox_edge.linting.trial import kind_of
from fleetbox_edge.linting.triggers import ROOTS, lint_triggers
from fleetbox_replication.filters import hop_filter, lint
from fleetbox_replication.tasks import engine_glob

SOON_US = 86_400_000_000  # µs; a policy that ends within a day is usually a forgotten one


def lint_policy(
    policy: Policy,
    known: Sequence[KnownStream] | None = None,
    sites: Collection[str] | None = None,
    now_us: int | None = None,
) -> list[Finding]:
    """Return what in a policy cannot be meant so, errors first.

    known: the streams of a robot that is to take it; sites: the names of the fleet's sites; None: not known, and
    nothing is said that would need them.
    """
    now_us = time.time_ns() // 1000 if now_us is None else now_us
    found = [
        *_lint_expiry(policy, now_us),
        *lint_streams(policy, known),
        *lint_events(policy, known),
        *lint_triggers(policy, known),
        *_lint_hops(policy, sites),
        *_lint_idle(policy, known),
        *_lint_tasks(),
    ]
    return sorted(dict.fromkeys(found), key=lambda finding: finding.level)


def _lint_expiry(policy: Policy, now_us: int) -> Iterator[Finding]:
    ends_us = policy.expires_us
    if ends_us is None:
        return
    if ends_us <= now_us:
        yield Finding("error", "expires", f"it ended at {iso_time(ends_us)}: no robot takes it", "give a later time")
    elif ends_us <= now_us + SOON_US:
        yield Finding("warning", "expires", f"it ends within a day, at {iso_time(ends_us)}", "is that meant so?")


def _lint_hops(policy: Policy, sites: Collection[str] | None) -> Iterator[Finding]:
    for site, rule in policy.hop.items():
        if sites is not None and site not in sites:
            near = get_close_matches(site, list(sites), 1)
            step = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(sites)) or 'none'}"
            yield Finding("warning", f"hop.{site}", f"no site is called {site!r}", step)
        for glob in rule.skip:
            try:
                engine_glob(glob)
            except InputError as error:
                yield Finding("error", f"hop.{site}.skip", error.message, error.next_step or "name the streams")


def _lint_idle(policy: Policy, known: Sequence[KnownStream] | None) -> Iterator[Finding]:
    idle = policy.idle
    if (idle.on is None) != (idle.when is None):
        given, lacking = ("on", "when") if idle.when is None else ("when", "on")
        message = f"`{given}` without `{lacking}` says nothing about when a robot is idle"
        yield Finding("error", f"idle.{given}", message, "give both, such as on = 'battery', when = 'charging == true'")
    if idle.on is None or idle.when is None:
        return
    stream = next((one for one in known or () if one.name == idle.on), None)
    if known is not None and stream is None:
        message = f"the robot has recorded no stream {idle.on!r}: it would never be idle"
        yield Finding("warning", "idle.on", message, "name a stream as `fleetbox ls` shows it")
    dtypes = stream.fields if stream else {}
    names = {name: kind_of(dtype) for name, dtype in dtypes.items()} or None
    yield from lint_expression(idle.when, "idle.when", Scope(names, ROOTS, idle.on, dtypes))


def _lint_tasks() -> Iterator[Finding]:
    """Lint the filters that the tasks will have: they follow from the classes, so that a fault is fleetbox's own."""
    for cls in CLASSES:
        for fault in lint(hop_filter(cls, True)) + lint(hop_filter(cls, False)):
            yield Finding("error", f"tasks.{cls}", fault, "this is a fault of fleetbox: please report it")
