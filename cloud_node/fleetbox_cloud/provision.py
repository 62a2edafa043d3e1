"""Give a site the buckets and tokens its robots need: wanted, minus actual, made so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fleetbox.blobs import BucketSpec, Store, TokenSpec
from fleetbox.errors import InputError, NotFound
from fleetbox.naming import CLASSES, SITE_DESK, desk_bucket, site_bucket, split_bucket
from fleetbox.quotas import bucket_spec
from fleetbox.settings import FleetSettings
from fleetbox_cloud.tokens import ensure_token, holder_of, robot_token, site_token, tokens_of


@dataclass(frozen=True, slots=True)
class Layout:
    """Hold the buckets and tokens that one store must have."""

    buckets: Mapping[str, BucketSpec] = field(default_factory=dict)
    tokens: Mapping[str, TokenSpec] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Present:
    """Hold the buckets a store has, and the names of its tokens."""

    buckets: Mapping[str, BucketSpec] = field(default_factory=dict)
    tokens: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Change:
    """Name one thing that has to change at a store."""

    what: Literal["bucket", "token"]
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Provisioned:
    """Hold what was changed, and the values of tokens newly made: the store never shows them again."""

    changes: tuple[Change, ...] = ()
    tokens: Mapping[str, str] = field(default_factory=dict)


def wanted(fleet: FleetSettings, site: str, extra_robots: Sequence[str] = ()) -> Layout:
    """Return what a site's store must hold.

    Every robot whose records pass the site has its own buckets there, and a desk for orders. Robots that report here
    have a token, and so have the sites that pass records on to here. `extra_robots` adds robots known only by a glob;
    raises InputError for one whose records do not pass the site.
    """
    place = fleet.site_place(site)
    for robot in extra_robots:
        if site not in _route(fleet, robot):
            raise InputError(f"records of {robot!r} do not pass site {site!r}", f"they go {_route(fleet, robot)}")
    robots = sorted({*fleet.robots_of(site), *extra_robots})
    buckets = {site_bucket(r, cls): bucket_spec(cls, place.quota.get(cls)) for r in robots for cls in CLASSES}
    buckets |= {
        name: bucket_spec("meta") for name in (SITE_DESK, *map(desk_bucket, robots))
    }  # few, small, never evicted
    tokens = {robot: robot_token(robot) for robot in robots if fleet.rule(robot).site == site}
    for name, table in fleet.site.items():
        behind = [robot for robot in robots if name in _route(fleet, robot)]
        if table.next == site and behind:
            tokens[name] = site_token(name, behind)
    return Layout(buckets, tokens)


def plan(want: Layout, have: Present) -> list[Change]:
    """Return what has to change, in order; empty when all is as wanted. Nothing is ever removed."""
    changes = []
    for name, spec in want.buckets.items():
        now = have.buckets.get(name)
        if now != spec:
            changes.append(Change("bucket", name, f"{_quota(now)} -> {_quota(spec)}" if now else "missing"))
    held = {holder_of(token) for token in have.tokens}
    return changes + [Change("token", name, "missing") for name in want.tokens if name not in held]


async def wanted_here(store: Store, fleet: FleetSettings, site: str, extra_robots: Sequence[str] = ()) -> Layout:
    """Return what a site's store must hold, robots included that only a glob knows and that were added before.

    Without them a site's token would be narrowed, thus made anew, by whoever provisions next.
    """
    return wanted(fleet, site, [*extra_robots, *robots_there(fleet, site, await store.buckets())])


def robots_there(fleet: FleetSettings, site: str, buckets: Iterable[str]) -> list[str]:
    """Return the robots that a site's store has buckets of and whose records still pass it."""
    robots = {named[0] for bucket in buckets if (named := split_bucket(bucket))}
    return sorted(robot for robot in robots if site in _route(fleet, robot))


async def present(store: Store, want: Layout) -> Present:
    """Read from the store what a plan is compared with; needs a token with full access."""
    there = set(await store.buckets())
    buckets = {name: spec for name in want.buckets if name in there and (spec := await store.bucket_spec(name))}
    return Present(buckets, frozenset(await store.tokens()))


async def provision(store: Store, want: Layout, *, only_missing: bool = False) -> Provisioned:
    """Make a store as wanted and say what changed; a second call changes nothing.

    A token whose rights differ is made anew, which turns the old value away; with `only_missing` it is left alone.
    """
    have = await present(store, want)
    changes = plan(want, have)
    for change in changes:
        if change.what == "bucket":
            await store.ensure_bucket(change.name, want.buckets[change.name])
    values: dict[str, str] = {}
    for name, spec in want.tokens.items():
        if only_missing and tokens_of(name, have.tokens):
            continue
        if (value := await ensure_token(store, spec, have.tokens)) is not None:
            values[name] = value
            if tokens_of(name, have.tokens):
                changes.append(Change("token", name, "allowed something else"))
    return Provisioned(tuple(changes), values)


async def make_missing(
    store: Store, fleet: FleetSettings, site: str, known: set[str], *, look_at_tokens: bool
) -> Provisioned:
    """Make again what was deleted from a site's store since; one request when no bucket is missing.

    Tokens are looked at when a bucket is, or when asked to: the last look may have failed between the two.

    `known` gathers the robots that were seen there: one known only by a glob would be forgotten with its last bucket.
    Tokens that are there keep their rights and values, whatever they are.
    """
    there = await store.buckets()
    known.update(robots_there(fleet, site, there))
    want = wanted(fleet, site, sorted(known))
    buckets = {name: spec for name, spec in want.buckets.items() if name not in there}
    if not buckets and not look_at_tokens:
        return Provisioned()
    held = {holder_of(token) for token in await store.tokens()}
    tokens = {name: spec for name, spec in want.tokens.items() if name not in held}
    return await provision(store, Layout(buckets, tokens), only_missing=True)  # one may be being replaced just now


def _route(fleet: FleetSettings, robot: str) -> list[str]:
    """Return the sites that a robot's records pass; none for a robot that no rule matches."""
    try:
        sites, name = list[str](), fleet.rule(robot).site
    except NotFound:
        return []
    while name:
        sites.append(name)
        name = fleet.site[name].next or ""
    return sites


def _quota(spec: BucketSpec) -> str:
    size = f" {spec.quota_bytes:,} B" if spec.quota_bytes else ""
    return f"{spec.quota_type}{size}, {spec.max_block_records} records a block"
