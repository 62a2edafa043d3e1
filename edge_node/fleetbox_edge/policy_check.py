"""Check for `doctor` and `status` which policy a robot follows, and whether it is the one it was sent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.checks import ANSWER_S, Check, each_robot
from fleetbox.errors import FleetboxError
from fleetbox.orders import Answer, Order, read_answers, read_orders
from fleetbox.policies import Followed, followed_now
from fleetbox.settings import FleetSettings, Place
from fleetbox.time import show_duration

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
FETCHED_US = 30_000_000  # µs; a robot that is online takes an order within 10 s
BECAME = {
    "refused": "was refused", "failed": "could not be applied", "rolled back": "was rolled back",
    "expired": "has expired",
}  # fmt: skip
HASH_CHARS = 4  # of a hash on the phone; `--json` has it whole


@dataclass(frozen=True, slots=True)
class Known:
    """Hold what a robot tells of its policy: the one it follows, its answers since, orders it has not answered."""

    followed: Followed
    answers: Sequence[Answer] = ()
    waiting: Sequence[Order] = ()


async def policy(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check the policies of one robot or of all that can be asked; nothing is said of one that never told."""

    async def checked(name: str) -> list[Check]:
        known = await _ask(fleet.route(name), name, now_us())
        return [] if known is None else [judge(known, now_us(), fleet)]

    return await each_robot(fleet, robot, checked)


def judge(known: Known, now_us: int, fleet: FleetSettings | None = None) -> Check:
    """Return how a robot stands with its policy; fleet: whose own policy file may have been edited since."""
    name, text = known.followed.robot, _named(known.followed, now_us)
    step = f"fleetbox policy status --robots {name}"
    last = next((one for one in reversed(known.answers) if one.order and one.state != "applied"), None)
    applied_us = max((one.time_us for one in known.answers if one.state == "applied"), default=0)
    said = [one for one in known.answers if one.state in ("muted", "unmuted")]
    if said and said[-1].state == "muted":
        return Check("WARN", "policy", name, f"{text}; its triggers are muted: {said[-1].reason}", "muted", step)
    if last is not None and last.time_us >= applied_us:
        what = f"the one sent last {BECAME.get(last.state, last.state)}"
        return Check("WARN", "policy", name, f"{text}; {what}: {last.reason}", f"policy {last.state}", step)
    late = [order for order in known.waiting if order.issued_us < now_us - FETCHED_US < order.expires_us]
    if late:
        ago = show_duration(now_us - max(order.issued_us for order in late))
        return Check("WARN", "policy", name, f"{text}; a newer one has waited for {ago}", "policy pending", step)
    ends_us = _ends_us(known.followed)
    if ends_us is not None and ends_us - now_us < DAY_US:
        left = f"ends in {show_duration(ends_us - now_us)}" if ends_us > now_us else "has ended"
        return Check("WARN", "policy", name, f"{text}, {left}", f"policy {left}", "fleetbox policy apply")
    if fleet is not None and (edited := _edited(fleet, known.followed)):
        text, step = f"{text}; {edited.name} was edited since and not applied", f"fleetbox policy apply {edited}"
        return Check("WARN", "policy", name, text, "policy edited", step)
    return Check("PASS", "policy", name, f"{text}, current")


def _edited(fleet: FleetSettings, followed: Followed) -> Path | None:
    """Return the fleet's policy file where that says something else and is newer: robots do not read it by themselves.

    One that is older may be meant for other robots.
    """
    edited_us = fleet.policy_edited_us()
    if edited_us is None or edited_us <= followed.time_us or fleet.policy.hash == followed.hash:
        return None
    return fleet.policy_file


def _named(followed: Followed, now_us: int) -> str:
    """Return a policy as people say it: "policy 12 (9f3a), applied 2 d ago"."""
    try:
        version = f"policy {followed.policy.version}" if followed.text else "policy"
    except FleetboxError:
        version = "a policy this version does not understand"
    ago = show_duration(max(0, now_us - followed.time_us))
    since = f"applied {ago} ago" if followed.envelope is not None else f"robot.toml's own for {ago}"
    return f"{version} ({followed.hash[:HASH_CHARS]}), {since}"


def _ends_us(followed: Followed) -> int | None:
    try:
        own_us = followed.policy.expires_us
    except FleetboxError:
        own_us = None
    signed_us = None if followed.envelope is None else followed.envelope.expires_us
    ends = [end_us for end_us in (own_us, signed_us) if end_us is not None]
    return min(ends, default=None)


async def _ask(route: Sequence[Place], robot: str, now_us: int) -> Known | None:
    """Ask the nearest place that answers what the robot tells, and the nearest site what lies in its desk."""
    known: Known | None = None
    for place in route:
        try:
            async with asyncio.timeout(ANSWER_S), Store.at(place, timeout_s=ANSWER_S) as store:
                if known is None:
                    known = await _told(store, place.bucket(robot, "meta"))
                if known is not None and place.tier != "robot":
                    return replace(known, waiting=await _waiting(store, known, now_us))
        except (FleetboxError, TimeoutError):
            continue  # the check of places says so
    return known


async def _told(store: Store, bucket: str) -> Known | None:
    followed = await followed_now(store, bucket)
    if followed is None:
        return None
    since_us = followed.time_us - HOUR_US  # what was answered in the same moment was stamped a little earlier
    answers = [one async for one in read_answers(store, bucket, max(0, since_us)) if one.kind == "policy"]
    return Known(followed, tuple(answers))


async def _waiting(store: Store, known: Known, now_us: int) -> tuple[Order, ...]:
    """Return the policies ordered since the one in force that the robot has not answered, as far as is known here."""
    answered: Collection[str] = {one.order for one in known.answers}
    since_us = max(0, known.followed.time_us - HOUR_US, now_us - 30 * DAY_US)
    found = [one async for one in read_orders(store, known.followed.robot, since_us) if one.kind == "policy"]
    return tuple(one for one in found if one.id not in answered)
