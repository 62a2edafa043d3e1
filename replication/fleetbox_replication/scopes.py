"""Say where each robot's records are in a store and which of them an event may label there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from fleetbox.blobs import Store
from fleetbox.naming import CLASSES, site_bucket, split_bucket
from fleetbox.policies import policy_in_force
from fleetbox.settings import Policy
from fleetbox_replication.census import Touches
from fleetbox_replication.window import Scope


def robot_scope(robot: str, policy: Policy | Callable[[], Policy]) -> Scope:
    """Return the scope of a robot's own store: every stream that the policy lets leave at all, asked each time."""
    if callable(policy):
        return Scope(robot, {cls: cls for cls in CLASSES}, allowed=lambda stream: _may_leave(policy(), stream))
    return Scope(robot, {cls: cls for cls in CLASSES}, allowed=lambda stream: _may_leave(policy, stream))


def site_scope(robot: str, site: str, policy: Policy) -> Scope:
    """Return the scope of one robot at an edge site: the streams that come this far by themselves and no further."""
    buckets: dict[str, str] = {cls: site_bucket(robot, cls) for cls in CLASSES}
    return Scope(robot, buckets, site, lambda stream: _stays(policy, stream), stays=_keeps_at_edge(policy))


def one_robot(
    robot: str, policy: Callable[[], Policy], touches: Touches | None = None
) -> Callable[[], Awaitable[list[Scope]]]:
    """Return the finder of scopes for a robot's own store; the policy is asked for again each time."""

    async def find() -> list[Scope]:
        return [_noted(robot_scope(robot, policy), touches)]

    return find


def robots_at_site(
    store: Store,
    site: str,
    policy: Callable[[], Policy],
    touches: Callable[[str], Touches | None] = lambda robot: None,
) -> Callable[[], Awaitable[list[Scope]]]:
    """Return the finder of scopes for a site's store: every robot whose `meta` has arrived.

    Each goes by the policy that it says is in force on it; `policy` is for those that have not said any.
    """

    async def find() -> list[Scope]:
        found = [split_bucket(bucket) for bucket in await store.buckets()]
        robots = sorted(robot for robot, cls in filter(None, found) if cls == "meta")
        rules = {robot: await policy_in_force(store, site_bucket(robot, "meta")) for robot in robots}
        return [_noted(site_scope(robot, site, rules[robot] or policy()), touches(robot)) for robot in robots]

    return find


def _noted(scope: Scope, touches: Touches | None) -> Scope:
    return replace(scope, touched=touches.note) if touches is not None else scope


def _may_leave(policy: Policy, stream: str) -> bool:
    return policy.rule_for(stream).ship in ("always", "event")


def _stays(policy: Policy, stream: str) -> bool:
    rule = policy.rule_for(stream)
    return rule.ship == "always" and rule.to == "edge"


def _keeps_at_edge(policy: Policy) -> bool:
    return any(
        (rule.ship == "always" and rule.to == "edge")
        or any(small is not None and small.to == "edge" for small in (rule.preview, rule.thumbnail))
        for rule in policy.stream.values()
    )
