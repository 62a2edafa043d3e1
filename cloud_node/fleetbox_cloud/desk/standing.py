"""Say how each robot stands with the policies sent to it: what it was asked, what it answered, when it was heard."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from fleetbox.blobs import EntryInfo, Store
from fleetbox.errors import AccessDenied, InputError, NotFound
from fleetbox.naming import site_bucket
from fleetbox.orders import ANSWERS, POLICIES, Answer, Order, read_answers, read_orders
from fleetbox.policies import Followed, followed_now
from fleetbox_cloud.desk.asking import for_each
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.tokens import tokens_of

OFFLINE_US = 180_000_000  # a robot that records writes a ledger page a minute; two may be under way, a token's use one
FETCHED_US = 30_000_000  # a robot fetches its order within 10 s while it is online
OWN = ("events", "ledger", ANSWERS, POLICIES)  # what only the robot itself writes into its `meta`

Stand = Literal["applied", "failed", "refused", "rolled back", "expired", "pending", "own"]
BAD: tuple[Stand, ...] = ("failed", "refused", "rolled back")
NOT_TAKEN = {"failed", "refused"}  # the robot follows what it did before


@dataclass(frozen=True, slots=True)
class Standing:
    """Say how one robot stands; times in µs, 0 for never or not known.

    `state` is about the newest policy ordered: "own" when none ever was, or when it follows robot.toml's own again.
    `policy` is the hash it follows, "" when it never said; `wanted` the hash it was asked to follow; `waits` counts how
    long an order has been pending; `name` and `version` are those of the policy followed; `muted` says why its triggers
    raise nothing for now.
    """

    robot: str
    state: Stand
    reason: str = ""
    policy: str = ""
    since_us: int = 0
    wanted: str = ""
    order: str = ""
    waits_us: int = 0
    heard_us: int = 0
    offline: bool = True
    name: str = ""
    version: int = 0
    muted: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for JSON; `offline_since_us` is None for a robot that is online."""
        return {**asdict(self), "offline_since_us": self.heard_us if self.offline else None}


@dataclass(frozen=True, slots=True)
class Known:
    """Hold what a site knows of one robot: orders of policies in its desk, its answers, what it said it follows."""

    robot: str
    orders: tuple[Order, ...] = ()
    answers: tuple[Answer, ...] = ()
    follows: Followed | None = None
    heard_us: int = 0


def judge(known: Known, rollouts: Sequence[Rollout], now_us: int) -> Standing:
    """Return how a robot stands, from what a site knows of it and from the site's rollouts."""
    newest = max(known.orders, key=lambda one: (one.issued_us, one.id), default=None)
    policy, since_us = _follows(known)
    offline = now_us - known.heard_us > OFFLINE_US
    stands = Standing(known.robot, "own", "", policy, since_us, heard_us=known.heard_us, offline=offline)
    stands = replace(_named(stands, known.follows), muted=_muted(known))
    if (turn := _turn(known.robot, rollouts, newest)) is not None:
        why = _turn_text(turn, known.robot)
        return replace(stands, state="pending", reason=why, wanted=turn.policy, order=turn.id)
    if newest is None:
        return stands
    wanted = next((one.policy for one in rollouts if one.id == newest.id), "")
    stands = replace(stands, wanted=wanted, order=newest.id)
    if (final := _answer_to(newest.id, known)) is not None:
        return replace(stands, state=_stand(final), reason=final.reason)
    if newest.expires_us <= now_us:
        return replace(stands, state="expired", reason="it was never fetched, and no robot may take it any more")
    waits_us = max(0, now_us - newest.issued_us)
    return replace(stands, state="pending", reason=_why_pending(stands.offline, waits_us), waits_us=waits_us)


def summary(standings: Iterable[Standing]) -> dict[str, int]:
    """Count robots by state."""
    counts: dict[str, int] = {}
    for one in standings:
        counts[one.state] = counts.get(one.state, 0) + 1
    return counts


async def standings(
    store: Store, robots: Collection[str], rollouts: Sequence[Rollout], now_us: int, since_us: int = 0
) -> list[Standing]:
    """Return how robots stand at a site, in the order given; `since_us` leaves out older orders and answers."""

    known = await read_all(store, robots, now_us, since_us)
    return [judge(one, rollouts, now_us) for one in known.values()]


async def read_all(store: Store, robots: Collection[str], now_us: int, since_us: int = 0) -> dict[str, Known]:
    """Read what a site knows of robots; one that records nothing is heard of by its token: it looks into its desk."""
    known = await for_each(robots, lambda robot: read_known(store, robot, since_us))
    quiet = [robot for robot, one in known.items() if now_us - one.heard_us > OFFLINE_US]
    for robot, used_us in (await tokens_used(store, quiet) if quiet else {}).items():
        known[robot] = replace(known[robot], heard_us=max(known[robot].heard_us, used_us))
    return known


async def tokens_used(store: Store, robots: Collection[str]) -> dict[str, int]:
    """Return when robots last used their tokens of this store in µs, late by a minute or so; none who may not ask."""
    try:
        used = await store.tokens_used()
    except AccessDenied:
        return {}
    last = {robot: max((used[token] for token in tokens_of(robot, used)), default=0) for robot in robots}
    return {robot: used_us for robot, used_us in last.items() if used_us}


async def read_known(store: Store, robot: str, since_us: int = 0) -> Known:
    """Read what a site knows of a robot: five small requests."""
    meta = site_bucket(robot, "meta")
    orders = [one async for one in read_orders(store, robot, since_us) if one.kind == "policy"]
    answers = [one async for one in read_answers(store, meta, since_us)]
    try:
        heard_us = last_heard(await store.entries(meta))
    except NotFound:
        heard_us = 0
    return Known(robot, tuple(orders), tuple(answers), await followed_now(store, meta), heard_us)


def last_heard(entries: Iterable[EntryInfo]) -> int:
    """Return when a robot last wrote into its `meta`; what sites write there about it does not count."""
    return max((one.latest_us for one in entries if one.name in OWN and one.records), default=0)


def _answer_to(order: str, known: Known) -> Answer | None:
    """Return the last word on an order: what a robot does by itself later, with no order, is one too."""
    final: Answer | None = None
    for one in sorted((one for one in known.answers if one.kind == "policy"), key=lambda one: one.time_us):
        if one.order == order or (final is not None and not one.order and one.state in ("rolled back", "expired")):
            final = one
    return final


def _muted(known: Known) -> str:
    """Return why a robot's triggers raise nothing, "" when they do or it never said."""
    said = [one for one in known.answers if one.state in ("muted", "unmuted")]
    last = max(said, key=lambda one: one.time_us, default=None)
    return "" if last is None or last.state == "unmuted" else last.reason or "over its budget"


def _follows(known: Known) -> tuple[str, int]:
    """Return the hash a robot follows and since when, "" where it never said; its two ways to say so race."""
    said = sorted((one for one in known.answers if one.policy), key=lambda one: one.time_us)
    told = known.follows
    if told is not None and (not said or told.hash == said[-1].policy or told.time_us >= said[-1].time_us):
        return told.hash, told.time_us
    since_us = 0
    for one in reversed(said):
        if one.policy != said[-1].policy:
            break
        since_us = one.time_us
    return (said[-1].policy, since_us) if said else ("", 0)


def _named(stands: Standing, told: Followed | None) -> Standing:
    """Add name and version of the policy, where its text is here and understood."""
    if told is None or told.hash != stands.policy:
        return stands
    try:
        return replace(stands, name=told.policy.name, version=told.policy.version)
    except InputError:
        return stands


def _stand(answer: Answer) -> Stand:
    state = answer.state
    return state if state in ("applied", "failed", "refused", "rolled back", "expired") else "failed"


def _turn(robot: str, rollouts: Sequence[Rollout], newest: Order | None) -> Rollout | None:
    """Return the newest rollout that a robot has not had its turn in, if it is newer than its newest order."""
    for one in reversed(rollouts):
        if robot in one.robots and one.state in ("running", "halted"):
            waits = robot not in one.reached and (newest is None or newest.issued_us < one.begun_us)
            return one if waits else None
    return None


def _turn_text(rollout: Rollout, robot: str) -> str:
    turn = f"its turn is stage {rollout.stage_of(robot) + 1} of {len(rollout.stages)}"
    return f"{turn}; the rollout is {rollout.state}" + (f": {rollout.reason}" if rollout.reason else "")


def _why_pending(offline: bool, waits_us: int) -> str:
    if offline:
        return "offline: it fetches the order when it is back"
    if waits_us > FETCHED_US:
        return "not fetched: is its agent new enough, and does `fleetbox site run` run at its site?"
    return "on its way"
