"""Take the newest policy back from robots: issue anew what each had before, for an older issue is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fleetbox.blobs import Store
from fleetbox.errors import InputError
from fleetbox.naming import site_bucket
from fleetbox.orders import Answer, read_answers, writer_here
from fleetbox.policies import Followed, read_policies
from fleetbox.settings import FleetSettings, Place, parse_policy
from fleetbox_cloud.desk.advancing import Desk, begin, halt
from fleetbox_cloud.desk.applying import now_us
from fleetbox_cloud.desk.asking import for_each
from fleetbox_cloud.desk.planning import Drafted, Wish, draft, expiry, robots_of_site
from fleetbox_cloud.desk.rollouts import Rollout
from fleetbox_cloud.desk.shelf import read_rollouts
from fleetbox_cloud.desk.standing import NOT_TAKEN

BY_NAME = 100  # robots an envelope names one by one; it lies in each one's desk


@dataclass(frozen=True, slots=True)
class Return:
    """Hold a rollback that nobody has sent: a rollout per policy returned to, and the robots that stay, with why."""

    drafts: tuple[Drafted, ...] = ()
    stays: Mapping[str, str] = field(default_factory=dict)


def policy_before(followed: Sequence[Followed], rollouts: Sequence[Rollout], robot: str) -> Followed | str:
    """Return what a robot followed before the newest rollout that reached it, or why it has nothing to return to.

    `followed` are the policies that came in force on it, oldest first.
    """
    if not followed:
        return "it never said which policy it follows"
    present = followed[-1]
    newest = next((one for one in reversed(rollouts) if robot in one.reached), None)
    if newest is not None and present.order != newest.id and present.hash != newest.policy:
        return f"it does not follow {newest.policy}, the newest one sent to it, but {present.hash}"
    wanted = newest.before.get(robot, "") if newest is not None and present.hash == newest.policy else ""
    before = [one for one in followed if (one.hash == wanted if wanted else one.hash != present.hash)]
    if wanted == present.hash or not before:
        return f"nothing is known that it followed before {present.hash}"
    return before[-1]


def taken(rollouts: Sequence[Rollout], answers: Mapping[str, Sequence[Answer]]) -> list[Rollout]:
    """Return the rollouts without those that all robots they reached, of those that answers are given of, turned down.

    There is nothing of them to take back. Where one robot took it, it counts: those that did not stay as they are.
    """

    def turned_down(rollout: Rollout) -> bool:
        reached = [robot for robot in rollout.reached if robot in answers]
        said = [{one.state for one in answers[robot] if one.order == rollout.id} for robot in reached]
        return bool(said) and all(states and states <= NOT_TAKEN for states in said)

    return [one for one in rollouts if not turned_down(one)]


async def preview_return(fleet: FleetSettings, place: Place, globs: Sequence[str], until_us: int) -> Return:
    """Return what a rollback would send. Raises InputError without a key, NotFound when no robot is meant."""
    async with Store.at(place) as store:
        robots = await robots_of_site(store, fleet, place.name, globs)
        rollouts = await read_rollouts(store)
        groups, stays = await _groups(store, robots, rollouts)
        drafts: list[Drafted] = []
        for (text, undone), mine in sorted(groups.items()):
            policy = parse_policy(text, "the policy before")
            named = tuple(mine) if len(mine) <= BY_NAME else tuple(globs)
            wish = Wish(policy, text, expiry(policy, until_us), named, (100,), returns=undone)
            drafts.append(await draft(store, fleet, mine, wish, now_us() + len(drafts)))
    return Return(tuple(drafts), stays)


async def send_return(place: Place, planned: Return) -> list[Rollout]:
    """Send a rollback: what it takes back goes no further, then every robot's order is handed out."""
    async with Store.at(place) as store:
        desk = Desk(store, writer_here())
        taken_back = {one.rollout.returns for one in planned.drafts}
        for rollout in await read_rollouts(store):
            if rollout.id in taken_back and rollout.state == "running":
                await halt(desk, rollout, "it was taken back: fleetbox policy rollback", now_us())
        return [await begin(desk, one.rollout, max(now_us(), one.rollout.begun_us)) for one in planned.drafts]


async def _groups(
    store: Store, robots: Sequence[str], rollouts: Sequence[Rollout]
) -> tuple[dict[tuple[str, str], list[str]], dict[str, str]]:
    """Return (text, rollout taken back) -> robots, and robot -> why it stays."""

    async def ask(robot: str) -> tuple[list[Followed], list[Answer]]:
        meta = site_bucket(robot, "meta")
        followed = [one async for one in read_policies(store, meta)]
        answers = [one async for one in read_answers(store, meta) if one.kind == "policy"]
        return sorted(followed, key=lambda one: one.time_us), answers

    groups: dict[tuple[str, str], list[str]] = {}
    stays: dict[str, str] = {}
    told = await for_each(robots, ask)
    rollouts = taken(rollouts, {robot: answers for robot, (_, answers) in told.items()})
    for robot, (followed, _) in told.items():
        before = policy_before(followed, rollouts, robot)
        if isinstance(before, str):
            stays[robot] = before
            continue
        if why := _unusable(before):
            stays[robot] = why
            continue
        undone = next((one.id for one in reversed(rollouts) if robot in one.reached), "")
        groups.setdefault((before.text, undone), []).append(robot)
    return groups, stays


def _unusable(before: Followed) -> str:
    """Return why a policy cannot be issued again, "" when it can."""
    try:
        if parse_policy(before.text).hash == before.hash:
            return ""
    except InputError as error:
        return f"what it followed before is not understood here: {error.message}"
    return f"the text of what it followed before ({before.hash}, its own file) is not known: apply a file instead"
