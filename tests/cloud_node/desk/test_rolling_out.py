"""A policy goes out in stages, halts, is taken back; nothing that breaks in between loses or doubles an order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from half_written import half_written

from fleetbox.errors import AccessDenied, InputError, NotFound, Unreachable
from fleetbox.orders import read_orders
from fleetbox.records import Draft
from fleetbox.settings import parse_policy
from fleetbox_cloud.desk import applying
from fleetbox_cloud.desk.advancing import Desk
from fleetbox_cloud.desk.planning import Wish, draft
from fleetbox_cloud.desk.pressing import Presser
from fleetbox_cloud.desk.returning import preview_return, send_return
from fleetbox_cloud.desk.rollouts import Rollout, encode
from fleetbox_cloud.desk.shelf import read_rollouts

HOLD_US = 1_800_000_000
FAR_US = 1 << 60


def now() -> int:
    """Return the wall clock in µs."""
    return time.time_ns() // 1000


def wish(scene: Any, name: str = "shift", **more: Any) -> Wish:
    """Ask for a policy for all robots of the scene."""
    text = scene.policy(name).read_text()
    return Wish(parse_policy(text), text, FAR_US, (scene.glob,), **more)


async def begin(scene: Any, name: str = "shift", **more: Any) -> Rollout:
    """Send a policy: its first stage."""
    place = scene.fleet.site_place("edge")
    return await applying.send(place, (await applying.preview(scene.fleet, place, wish(scene, name, **more))).rollout)


async def counts(scene: Any) -> dict[str, int]:
    """Return how many robots stand how."""
    found = await applying.status(scene.fleet, scene.fleet.site_place("edge"), ["*"])
    return dict(Counter(one.state for one in found.robots))


async def latest(scene: Any) -> Rollout:
    """Return the newest rollout as it stands."""
    async with scene.store() as store:
        return (await read_rollouts(store))[-1]


def test_a_person_presses_on_stage_by_stage(scene: Callable[..., Any]) -> None:
    """One robot, then two of twenty, then all; nobody gets it before its turn, and each says what it follows."""

    async def main() -> None:
        site = scene()
        await site.make()
        await site.look(now())
        place = site.fleet.site_place("edge")
        drafted = await applying.preview(site.fleet, place, wish(site))
        assert await counts(site) == {"own": 20}, "a preview sends nothing"
        own = parse_policy('name = "own"').hash
        assert drafted.groups == {own: 20}
        assert drafted.differences[own] == ("name: own -> shift", "version: 1 -> 3")
        rollout = await applying.send(place, drafted.rollout)
        for stage, reached in enumerate((1, 2, 20)):
            await site.look(now())
            assert Counter(site.following().values())["shift"] == reached
            found = await counts(site)
            assert found == ({"applied": 20} if stage == 2 else {"applied": reached, "pending": 20 - reached})
            if stage < 2:
                rollout = await applying.promote(place, await applying.promotion(place, rollout.id[-6:]))
        assert rollout.state == "done"
        with pytest.raises(InputError, match="handed out to all"):
            await applying.promotion(place, rollout.policy)

    asyncio.run(main())


def test_the_site_presses_on_when_a_stage_has_held(scene: Callable[..., Any]) -> None:
    """With --auto: not before the time, not before all answered, then by itself to the end; also after a restart."""

    async def main() -> None:
        site = scene()
        await site.make()
        await site.look(now())
        await begin(site, auto_us=HOLD_US)
        clock = now()
        async with site.store() as store:

            def presser() -> Presser:
                return Presser(Desk(store, "edge"), lambda: clock)

            old = presser()
            await old.look()
            clock += HOLD_US + 1
            await old.look()
            assert (await latest(site)).stage == 0, "nobody has answered"
            await site.look(now())
            await presser().look()
            assert (await latest(site)).stage == 1, "another process goes on where that one was"
            await site.look(now())
            clock += HOLD_US - 10
            anew = presser()
            await anew.look()
            assert (await latest(site)).stage == 1
            clock += 20
            await anew.look()
            await site.look(now())
            done = await latest(site)
        assert (done.stage, done.state) == (2, "done")
        assert await counts(site) == {"applied": 20}

    asyncio.run(main())


def test_a_failure_halts_it_and_says_why(scene: Callable[..., Any]) -> None:
    """The rest of the fleet never sees it; the reason stands in the rollout and in the status."""

    async def main() -> None:
        site = scene(5)
        await site.make()
        await site.look(now())
        first = (await begin(site, auto_us=HOLD_US)).robots[0]
        site.robots[first].fails = "no room on its disk"
        await site.look(now())
        async with site.store() as store:
            await Presser(Desk(store, "edge"), now).look()
            await Presser(Desk(store, "edge"), lambda: now() + 10 * HOLD_US).look()
        halted = await latest(site)
        assert (halted.state, halted.stage) == ("halted", 0)
        assert halted.reason == f"stage 1 of 3: {first} failed (no room on its disk)"
        await site.look(now())
        assert set(site.following().values()) == {"own"}
        assert await counts(site) == {"failed": 1, "pending": 4}
        planned = await applying.promotion(site.fleet.site_place("edge"), halted.id)
        assert planned.decision.what == "halt"

    asyncio.run(main())


def test_a_rollback_issues_anew_what_each_had_before(scene: Callable[..., Any]) -> None:
    """Robots return to their own file's policy or to another one sent, whichever it was; who cannot is named."""

    async def main() -> None:
        site = scene(4)
        await site.make()
        place = site.fleet.site_place("edge")
        silent = sorted(site.robots)[3]
        await site.look(now(), silent)
        one = sorted(site.robots)[0]
        await begin(site, "night", stages=(100,))
        await site.look(now(), silent)
        text = site.policy("special").read_text()
        special = Wish(parse_policy(text), text, FAR_US, (one,), (100,))
        await applying.send(place, (await applying.preview(site.fleet, place, special)).rollout)
        await site.look(now(), silent)
        assert site.following()[one] == "special"
        planned = await preview_return(site.fleet, place, [site.glob], FAR_US)
        assert {draft.rollout.name: len(draft.rollout.robots) for draft in planned.drafts} == {"night": 1, "own": 2}
        assert planned.stays == {silent: "it never said which policy it follows"}
        await send_return(place, planned)
        await site.look(now(), silent)
        assert site.robots[one].followed[-1].text == site.policy("night").read_text()
        assert [site.robots[name].followed[-1].text for name in sorted(site.robots)[1:3]] == ['name = "own"\n'] * 2
        assert (await counts(site))["applied"] == 3

    asyncio.run(main())


def test_a_newer_rollout_is_not_overtaken_by_an_older_one(scene: Callable[..., Any]) -> None:
    """Robots that took a later policy are left out when an earlier rollout goes on."""

    async def main() -> None:
        site = scene(10)
        await site.make()
        await site.look(now())
        place = site.fleet.site_place("edge")
        first = await begin(site, "first")
        second = await begin(site, "second")
        await site.look(now())
        planned = await applying.promotion(place, first.id, whole=True)
        assert second.robots[0] not in planned.next_robots
        await applying.promote(place, planned)
        await site.look(now())
        assert Counter(site.following().values()) == {"first": 9, "second": 1}
        assert all(one.state != "refused" for one in (await applying.status(site.fleet, place, ["*"])).robots)

    asyncio.run(main())


def test_an_offline_robot_gets_it_when_it_is_back(scene: Callable[..., Any]) -> None:
    """Pending meanwhile, last in the order of turns, and of two policies sent it takes the newer one."""

    async def main() -> None:
        site = scene(3)
        await site.make()
        away = sorted(site.robots)[0]
        await site.look(now(), away)
        rollout = await begin(site, "first", stages=(100,))
        assert rollout.robots[-1] == away
        await begin(site, "second", stages=(100,))
        await site.look(now(), away)
        place = site.fleet.site_place("edge")
        found = {one.robot: one for one in (await applying.status(site.fleet, place, ["*"])).robots}
        assert (found[away].state, found[away].offline) == ("pending", True)
        await site.look(now())
        assert site.following()[away] == "second"
        assert await counts(site) == {"applied": 3}

    asyncio.run(main())


def test_what_was_left_half_handed_out_is_mended(scene: Callable[..., Any], wait_until: Any) -> None:
    """The store dies while orders are handed out: the rollout is noted, and the site's process puts what is missing."""

    async def main() -> None:
        site = scene(12)
        await site.make()
        await site.look(now())
        place = site.fleet.site_place("edge")
        drafted = await applying.preview(site.fleet, place, wish(site, stages=(100,)))
        async with site.store() as store:
            for robot in list(site.robots)[:5]:
                await store.remove_bucket(f"{robot}--desk")
        with pytest.raises(NotFound, match="has no desk for"):
            await applying.send(place, drafted.rollout)
        await asyncio.to_thread(site.server.kill)
        with pytest.raises(Unreachable):
            await applying.status(site.fleet, place, ["*"])
        await asyncio.to_thread(site.server.start)
        await site.make()
        async with site.store() as store:
            await Presser(Desk(store, "edge"), lambda: now() + 11_000_000).look()
            await Presser(Desk(store, "edge"), lambda: now() + 11_000_000).look()
            for robot in site.robots:
                assert [order.id async for order in read_orders(store, robot)] == [drafted.rollout.id]
        await site.look(now())
        assert set(site.following().values()) == {"shift"}

    asyncio.run(main())


def test_a_rollout_still_being_written_is_looked_after_once_it_is(scene: Callable[..., Any]) -> None:
    """The site's desk has its size before the rollout can be read: a look at that moment is not the last."""

    async def main() -> None:
        site = scene(1)
        await site.make()
        await site.look(now())
        place = site.fleet.site_place("edge")
        rollout = (await applying.preview(site.fleet, place, wish(site))).rollout
        record = Draft("rollouts/ada", now(), encode(rollout), {"type": "json"}, "application/json")
        (robot,) = site.robots
        async with site.store() as store:
            presser = Presser(Desk(store, "edge"), now, settled_us=0)
            async with half_written(site.server, "desk", record) as end:
                await presser.look()
                assert [order async for order in read_orders(store, robot)] == []
                await end()
            await presser.look()
            assert [order.id async for order in read_orders(store, robot)] == [rollout.id]

    asyncio.run(main())


def test_a_person_whose_clock_is_behind_still_issues_the_newest(scene: Callable[..., Any]) -> None:
    """An envelope is never older than the one before it, whatever the laptop's clock says."""

    async def main() -> None:
        site = scene(2)
        await site.make()
        await site.look(now())
        await begin(site, "first", stages=(100,))
        place = site.fleet.site_place("edge")
        async with site.store() as store:
            behind = await draft(store, site.fleet, sorted(site.robots), wish(site, "second"), now() - 3_600_000_000)
        await applying.send(place, behind.rollout.next(stage=2))
        await site.look(now())
        assert set(site.following().values()) == {"second"}

    asyncio.run(main())


def test_without_a_key_or_a_robot_nothing_is_drafted(scene: Callable[..., Any]) -> None:
    """A fleet that names no key, a key file that is away, a glob that no robot matches: each is said."""

    async def main() -> None:
        site = scene(1)
        await site.make()
        place = site.fleet.site_place("edge")
        with pytest.raises(InputError, match="names no `policy_key`"):
            await applying.preview(site.fleet.model_copy(update={"policy_key": None}), place, wish(site))
        (site.folder / "policy.key").unlink()
        with pytest.raises(AccessDenied, match=r"policy\.key"):
            await applying.preview(site.fleet, place, wish(site))
        with pytest.raises(NotFound, match="no robot behind edge matches wh9"):
            await applying.status(site.fleet, place, ["wh9-*"])

    asyncio.run(main())
