"""Make the rollout that `apply` asks for: which robots, in which stages, signed, with what changes; nothing is sent."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.orders import writer_here
from fleetbox.selectors import matches_glob
from fleetbox.settings import FleetSettings, Policy
from fleetbox.signing import Envelope, encode, sign
from fleetbox_cloud.desk.changes import changes
from fleetbox_cloud.desk.rollouts import STAGES, Rollout, turn_order
from fleetbox_cloud.desk.standing import OFFLINE_US, Known, read_all
from fleetbox_cloud.provision import robots_there

ROBOTS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """Hold what one call of `apply` asks for: the policy and its text, robots by glob, stages, expiry in µs."""

    policy: Policy
    text: str
    expires_us: int
    robots: tuple[str, ...] = ("*",)
    stages: tuple[int, ...] = STAGES
    auto_us: int | None = None
    returns: str = ""  # the rollout it takes back


@dataclass(frozen=True, slots=True)
class Drafted:
    """Hold a rollout that nobody has sent, and what it would change: per hash now followed, how many robots and how."""

    rollout: Rollout
    policy: Policy
    groups: Mapping[str, int] = field(default_factory=dict)
    differences: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)  # None: not known here
    offline: tuple[str, ...] = ()


async def robots_of_site(store: Store, fleet: FleetSettings, site: str, globs: Collection[str]) -> list[str]:
    """Return the robots behind a site that globs choose: those named in fleet.toml, and those with buckets there."""
    every = {*fleet.robots_of(site), *robots_there(fleet, site, await store.buckets())}
    chosen = sorted(robot for robot in every if any(matches_glob(glob, robot) for glob in globs))
    if not chosen:
        known = ", ".join(sorted(every)[:ROBOTS_SHOWN]) or "none"
        raise NotFound(f"no robot behind {site} matches {', '.join(globs)}", f"known there: {known}")
    return chosen


async def draft(store: Store, fleet: FleetSettings, robots: Sequence[str], wish: Wish, now_us: int) -> Drafted:
    """Return the rollout that a wish asks for, signed; raises AccessDenied or InputError without a usable key."""
    key = signing_key(fleet)
    known = await read_all(store, robots, now_us)
    now_us = max(now_us, 1 + max(map(_issued_us, known.values())))  # whoever issued before us may have a clock ahead
    envelope = sign(Envelope(wish.text, wish.robots, now_us, wish.expires_us), key)
    before = {robot: _hash_of(one) for robot, one in known.items()}
    online = [robot for robot, one in known.items() if now_us - one.heard_us <= OFFLINE_US]
    rollout = Rollout(
        f"{now_us:016x}-{secrets.token_hex(3)}", encode(envelope), wish.policy.hash, wish.policy.name,
        wish.policy.version, writer_here(), now_us, turn_order(robots, wish.policy.hash, online), wish.stages,
        auto_us=wish.auto_us, before=before, returns=wish.returns,
    )  # fmt: skip
    offline = tuple(robot for robot in robots if robot not in online)
    return Drafted(rollout, wish.policy, Counter(before.values()), _differences(known.values(), wish.policy), offline)


def signing_key(fleet: FleetSettings) -> str:
    """Return the private key that vouches for policies; raises InputError when none is named."""
    if fleet.policy_key is None:
        raise InputError(
            f"{fleet.source} names no `policy_key`: a policy that nobody signed is refused by every robot",
            "make one with `fleetbox policy keygen`, name it there, and its public half in every robot.toml",
        )
    return fleet.policy_key.read()


def expiry(policy: Policy, until_us: int) -> int:
    """Return when the envelope ends: with its policy, at the latest."""
    return min(until_us, policy.expires_us) if policy.expires_us else until_us


def _hash_of(known: Known) -> str:
    return known.follows.hash if known.follows else ""


def _issued_us(known: Known) -> int:
    """Return when the newest policy for a robot was issued: it takes none that was issued before."""
    stamps = [one.body.get("issued_us") for one in known.orders]
    return max([stamp for stamp in stamps if isinstance(stamp, int)], default=0)


def _differences(known: Iterable[Known], after: Policy) -> dict[str, tuple[str, ...] | None]:
    found: dict[str, tuple[str, ...] | None] = {}
    for one in known:
        if one.follows is None or _hash_of(one) in found:
            found.setdefault(_hash_of(one), None)
            continue
        try:
            found[_hash_of(one)] = tuple(changes(one.follows.policy, after))
        except InputError:  # a text of a later version
            found[_hash_of(one)] = None
    return found
