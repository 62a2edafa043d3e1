"""Judge orders: may this robot take that policy, and which of several; what is left of a moment asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import xxhash

from fleetbox import events
from fleetbox.errors import FleetboxError, InputError
from fleetbox.events import Event, make_id, new_event
from fleetbox.orders import Order
from fleetbox.settings import Policy, parse_policy
from fleetbox.settings.policy import MAX_POST, Resolution, Target
from fleetbox.signing import Envelope, Refused, check, decode
from fleetbox.time import iso_time, show_duration
from fleetbox_replication.taking import Taking

AHEAD_US = 3_600_000_000  # µs; clocks of people and robots may differ by an hour before a moment counts as to come
RECENT_US = 600_000_000  # µs; what is younger may still wait in a spool or circle in memory
NAMED = 3  # streams named in an answer; it is read on a phone


@dataclass(frozen=True, slots=True)
class Gate:
    """Say what a robot asks of an envelope: its own id, the keys it trusts, the oldest issue it takes; times in µs."""

    robot: str
    keys: Sequence[str]
    now_us: int
    last_issued_us: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """Hold a policy that the robot may take, with the order that brings it."""

    order: Order
    envelope: Envelope
    policy: Policy


def open_offer(order: Order, gate: Gate) -> Offer:
    """Return the policy that an order brings; raise Refused, its reason first, unless the robot may take it now."""
    envelope = decode(json.dumps(dict(order.body)))
    check(envelope, gate.keys, gate.robot, gate.now_us, gate.last_issued_us)
    if order.expires_us <= gate.now_us:
        raise Refused("expired", f"the order {order.id} has expired")
    try:
        policy = parse_policy(envelope.text)
        _check_rules(policy)
    except FleetboxError as error:
        raise Refused("unreadable", f"its text is no policy that this robot understands: {error.message}") from error
    if policy.expires_us is not None and policy.expires_us <= gate.now_us:
        raise Refused("expired", f"policy {policy.name} ended at {iso_time(policy.expires_us)}")
    return Offer(order, envelope, policy)


def newest(offers: Sequence[Offer]) -> Offer | None:
    """Return the offer that counts: the one issued last."""
    return max(offers, key=lambda one: (one.envelope.issued_us, one.order.issued_us, one.order.id), default=None)


def open_event(order: Order, now_us: int) -> Event:
    """Return the event that an order asks for, with an id that a second reading gives it again; raises InputError."""
    event = events.decode(json.dumps(dict(order.body)).encode())
    _check_types(event)
    if event.robot != order.robot:
        raise InputError(f"the event is one of {event.robot}, and the order is for {order.robot}")
    if event.stop_us > now_us + MAX_POST + AHEAD_US:
        ahead = show_duration(event.stop_us - now_us)
        raise InputError(f"the event ends {ahead} ahead", "is the clock of this robot, or of whoever asked, right?")
    if not event.id:
        event = replace(event, id=make_id(event.kind, event.time_us, xxhash.xxh3_64_intdigest(order.id.encode())))
    return new_event(event)


def what_remains(event: Event, held: Mapping[str, tuple[int, int]], now_us: int) -> tuple[bool, str]:
    """Tell whether anything of a window can still be there, and say what is gone; `held`: stream -> oldest, newest."""
    asked = Taking.among(event, held)  # pictures that became video count, and so do the small frames of a stream
    mine = {name: span for name, span in held.items() if asked.takes(name)}
    there = {name: span for name, span in mine.items() if span[0] <= event.stop_us and span[1] >= event.start_us}
    recent = event.stop_us >= now_us - RECENT_US
    cut = {name: oldest for name, (oldest, _) in mine.items() if event.is_cut_by(oldest) and not recent}
    if recent or there:
        return True, _said_of(cut, len(mine))
    if not mine:
        return False, f"this robot holds no stream that matches {', '.join(event.streams)}"
    return False, f"nothing of that time is left here: {_said_of(cut, len(mine)) or 'nothing was recorded then'}"


def _check_types(event: Event) -> None:
    """Raise InputError for what another program may have put into an event's fields."""
    times = (event.time_us, event.start_us, event.stop_us)
    texts = (event.id, event.kind, event.note, event.by, event.trigger, event.policy, *event.streams)
    whole = all(type(time_us) is int for time_us in times) and all(isinstance(text, str) for text in texts)
    if not whole or not event.streams:
        raise InputError("the event's times are no µs, or its texts no text")
    if event.resolution not in get_args(Resolution) or event.to not in get_args(Target):
        raise InputError(f"the event asks for resolution {event.resolution!r} to {event.to!r}")


def _said_of(cut: Mapping[str, int], streams: int) -> str:
    if not cut:
        return ""
    named = [f"{name} from {iso_time(oldest)}" for name, oldest in sorted(cut.items())[:NAMED]]
    more = f" and {len(cut) - NAMED} more" if len(cut) > NAMED else ""
    return f"{len(cut)} of {streams} streams reach back less far: {', '.join(named)}{more}"


def _check_rules(policy: Policy) -> None:
    """Compile its triggers once, before it replaces one whose triggers work."""
    if policy.trigger:
        from fleetbox_edge.triggers import compile_rules  # loads the compiler of expressions

        compile_rules(policy)
