"""Which records an event may label, by store and policy."""

from __future__ import annotations

import asyncio

from fleetbox.blobs import BucketSpec, Store
from fleetbox.policies import Followed, write_policy
from fleetbox.settings import Policy, parse_policy
from fleetbox_replication.scopes import one_robot, robot_scope, robots_at_site, site_scope
from tests.conftest import StoreServer

FACES = Policy.model_validate({"stream": {"faces": {"ship": "never"}, "**": {"ship": "event"}}})
LIDAR = Policy.model_validate({
    "stream": {
        "lidar": {"ship": "always", "to": "edge"},
        "cam/*": {"ship": "event", "preview": {"to": "edge"}},
        "health": {"ship": "always"},
    }
})  # fmt: skip


def test_a_robot_labels_whatever_may_leave_it() -> None:
    """Only what the policy never ships is out of an event's reach on the robot."""
    scope = robot_scope("r1", FACES)
    assert (scope.allowed("faces"), scope.allowed("imu"), scope.buckets["media"]) == (False, True, "media")


def test_a_new_policy_holds_for_events_that_are_open() -> None:
    """What a robot may let leave is asked of the policy in force each time, so that a ban holds at once."""
    policies = [Policy()]
    (scope,) = asyncio.run(one_robot("r1", lambda: policies[-1])())
    assert scope.allowed("faces")
    policies.append(FACES)
    assert not scope.allowed("faces")


def test_what_ships_small_never_leaves_as_it_is() -> None:
    """No event takes the originals of a stream that ships small, only its small frames."""
    policy = Policy.model_validate({"stream": {"cam/*": {"ship": "small", "preview": {}, "thumbnail": {}}}})
    scope = robot_scope("r1", policy)
    streams = ("cam/a", "cam/a/preview", "cam/a/thumbnail", "cam/a/video", "imu")
    assert [s for s in streams if scope.allowed(s)] == ["cam/a/preview", "cam/a/thumbnail", "imu"]


def test_a_site_labels_only_what_stays_there_by_itself() -> None:
    """Streams that go all the way need no second label, and those an event brought have theirs."""
    scope = site_scope("r1", "edge-1", LIDAR)
    allowed = [s for s in ("lidar", "cam/front", "cam/front/preview", "health", "imu") if scope.allowed(s)]
    assert allowed == ["lidar", "cam/front/preview"]
    assert scope.buckets["media"] == "r1--media"


def test_a_site_finds_its_robots_by_their_buckets(store_server: StoreServer, bucket_name: str) -> None:
    """A robot is known once its meta bucket is there; a policy that keeps nothing at the edge leaves work to events."""
    robot = "r" + bucket_name[2:]

    async def scenario() -> None:
        async with Store(store_server.url, store_server.token) as store:
            for cls in ("meta", "media"):
                await store.ensure_bucket(f"{robot}--{cls}", BucketSpec("NONE", 0))
            found = await robots_at_site(store, "edge-1", lambda: LIDAR)()
            assert [scope.robot for scope in found].count(robot) == 1
            assert [scope.stays for scope in found if scope.robot == robot] == [True]
            idle = await robots_at_site(store, "edge-1", lambda: FACES)()
            assert [scope.stays for scope in idle if scope.robot == robot] == [False]

    asyncio.run(scenario())


def test_a_site_goes_by_the_policy_in_force_on_each_robot(store_server: StoreServer, bucket_name: str) -> None:
    """What a robot says it follows decides at its sites, too, and not what the site's own file says."""
    robot, text = "r" + bucket_name[2:], '[stream.lidar]\nship = "always"\nto = "edge"\n'

    async def scenario() -> None:
        async with Store(store_server.url, store_server.token) as store:
            meta = f"{robot}--meta"
            await store.ensure_bucket(meta, BucketSpec("NONE", 0))
            await write_policy(store, meta, Followed(robot, parse_policy(text).hash, text, 1_000))
            found = await robots_at_site(store, "edge-1", lambda: FACES)()
            (scope,) = [scope for scope in found if scope.robot == robot]
            assert (scope.stays, scope.allowed("lidar"), scope.allowed("imu")) == (True, True, False)

    asyncio.run(scenario())
