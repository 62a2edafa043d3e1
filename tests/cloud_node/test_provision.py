"""Provisioning: what a site needs, made once, and no robot reaches its neighbour's buckets."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store, TokenSpec
from fleetbox.errors import AccessDenied, InputError, NotFound
from fleetbox.records import Draft
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_cloud.provision import Change, Layout, Present, make_missing, plan, provision, wanted, wanted_here
from fleetbox_cloud.provision_site import provision_site

RECORD = Draft("imu", 1_000_000, b"x", {}, "text/plain")


@pytest.fixture
def fleet(tmp_path: Path, store_server: Any) -> FleetSettings:
    """Two robots at an edge site that passes on to the cloud, one robot at the cloud itself; ids of their own."""
    mark = uuid.uuid4().hex[:8]
    (tmp_path / "store.token").write_text(store_server.token)
    text = [f'[[robots]]\nmatch = "{mark}-{name}"\nsite = "{site}"' for name, site in ROBOTS.items()]
    for site, more in (("edge", 'next = "cloud"'), ("cloud", "")):
        text.append(f'[site.{site}]\nstore = "{store_server.url}"\ntoken = {{ file = "store.token" }}\n{more}')
        text.append('quota = { sensor = "2 GB", media = "3 GB", log = "1 GB", kept = "5 GB" }')
    path = tmp_path / "fleet.toml"
    path.write_text("\n".join(text))
    return load_fleet(path)


ROBOTS = {"a": "edge", "b": "edge", "c": "cloud"}


def names(fleet: FleetSettings) -> list[str]:
    """Return the robots' ids in the order a, b, c."""
    return sorted(fleet.known_robots)


def test_each_class_is_kept_its_own_way(fleet: FleetSettings) -> None:
    """Rings turn over, kept refuses, meta is never bounded; small blocks everywhere."""
    a, _, _ = names(fleet)
    made = wanted(fleet, "edge").buckets
    assert made[f"{a}--sensor"] == BucketSpec("FIFO", 2_000_000_000, 128, 64_000_000)
    assert made[f"{a}--media"].quota_type == "FIFO"
    assert made[f"{a}--kept"].quota_type == "HARD"
    assert made[f"{a}--meta"] == BucketSpec("NONE", 0, 128, 64_000_000)


def test_who_gets_what_where(fleet: FleetSettings) -> None:
    """A site holds the buckets of all robots that pass it, tokens for those that report to it and for sites below."""
    a, b, c = names(fleet)
    edge, cloud = wanted(fleet, "edge"), wanted(fleet, "cloud")
    assert {name.rsplit("--", 1)[0] for name in edge.buckets} == {a, b, "desk"}
    assert {name.rsplit("--", 1)[0] for name in cloud.buckets} == {a, b, c, "desk"}
    assert edge.buckets[f"{a}--desk"] == edge.buckets["desk"] == BucketSpec("NONE", 0, 128, 64_000_000)
    assert edge.tokens == {robot: TokenSpec(robot, (f"{robot}--*",), (f"{robot}--*",)) for robot in (a, b)}
    assert set(cloud.tokens) == {c, "edge"}
    assert cloud.tokens["edge"].write == (f"{a}--*", f"{b}--*")
    assert not cloud.tokens["edge"].full


def test_a_robot_behind_a_glob_can_be_added(fleet: FleetSettings) -> None:
    """A robot that only a glob knows has buckets and a token when it is named, and its site's token covers it."""
    rule = fleet.robots[0].model_copy(update={"match": "wh-*"})
    wide = fleet.model_copy(update={"robots": (*fleet.robots, rule)})
    assert "wh-1" in wanted(wide, "edge", ["wh-1"]).tokens
    cloud = wanted(wide, "cloud", ["wh-1"])
    assert "wh-1--meta" in cloud.buckets
    assert "wh-1--*" in cloud.tokens["edge"].write
    with pytest.raises(InputError, match="do not pass"):
        wanted(wide, "edge", [names(fleet)[2]])


def test_a_plan_names_only_what_differs() -> None:
    """Equal buckets and present tokens are left alone; other quotas and missing tokens are named with the reason."""
    want = Layout(
        {"r1--sensor": BucketSpec("FIFO", 10), "r1--log": BucketSpec("FIFO", 10), "r1--meta": BucketSpec("NONE", 0)},
        {"r1": TokenSpec("r1"), "r2": TokenSpec("r2")},
    )
    have = Present({"r1--sensor": BucketSpec("FIFO", 10), "r1--log": BucketSpec("FIFO", 9)}, frozenset({"r1"}))
    assert plan(want, have) == [
        Change("bucket", "r1--log", "FIFO 9 B, 128 records a block -> FIFO 10 B, 128 records a block"),
        Change("bucket", "r1--meta", "missing"),
        Change("token", "r2", "missing"),
    ]


def test_a_second_time_changes_nothing(fleet: FleetSettings, store_server: Any) -> None:
    """Provisioning twice makes everything once; token values come with the first only."""

    async def main() -> None:
        a, b, _ = names(fleet)
        want = wanted(fleet, "edge")
        async with Store(store_server.url, store_server.token) as store:
            first, second = await provision(store, want), await provision(store, want)
            assert {change.name for change in first.changes} | {"desk"} == {*want.buckets, a, b}
            assert set(first.tokens) == {a, b}
            assert (second.changes, dict(second.tokens)) == ((), {})
            for name, spec in want.buckets.items():
                assert await store.bucket_spec(name) == spec

    asyncio.run(main())


def test_a_neighbours_bucket_answers_403(fleet: FleetSettings, store_server: Any) -> None:
    """A robot's token reads and writes its own buckets, and is turned away from its neighbour's and from admin."""

    async def main() -> None:
        a, b, _ = names(fleet)
        async with Store(store_server.url, store_server.token) as store:
            values = (await provision(store, wanted(fleet, "edge"))).tokens
            await store.write(f"{b}--sensor", [RECORD])
        async with Store(store_server.url, values[a]) as mine:
            assert (await mine.write(f"{a}--sensor", [RECORD])).written == 1
            assert (await mine.read(f"{a}--sensor", "imu", RECORD.time_us)).data == b"x"
            for attempt in (
                mine.write(f"{b}--sensor", [RECORD]),
                mine.read(f"{b}--sensor", "imu", RECORD.time_us),
                mine.delete(f"{b}--sensor", "imu", [RECORD.time_us]),
                mine.ensure_token(TokenSpec("more", full=True)),
                mine.remove_bucket(f"{b}--sensor"),
            ):
                with pytest.raises(AccessDenied):
                    await attempt

    asyncio.run(main())


def test_a_robot_once_added_stays(fleet: FleetSettings, store_server: Any) -> None:
    """A site that provisions itself again keeps the tokens that cover a robot known only by a glob."""

    async def main() -> None:
        mark = names(fleet)[0].removesuffix("-a")
        rule = fleet.robots[0].model_copy(update={"match": f"{mark}-wh-*"})
        wide = fleet.model_copy(update={"robots": (*fleet.robots, rule)})
        async with Store(store_server.url, store_server.token) as store:
            await provision(store, await wanted_here(store, wide, "cloud", [f"{mark}-wh-1"]))
            again = await provision(store, await wanted_here(store, wide, "cloud"))
        assert (again.changes, dict(again.tokens)) == ((), {})

    asyncio.run(main())


def test_a_token_that_allows_more_is_made_anew(fleet: FleetSettings, store_server: Any) -> None:
    """A token widened by hand is replaced by the one wanted, and the change is told."""

    async def main() -> None:
        a, _, _ = names(fleet)
        want = wanted(fleet, "edge")
        async with Store(store_server.url, store_server.token) as store:
            await store.ensure_token(TokenSpec(a, ("*",), ("*",)))
            done = await provision(store, want)
            assert Change("token", a, "allowed something else") in done.changes
            assert a in done.tokens
            assert (await provision(store, want)).changes == ()

    asyncio.run(main())


def test_a_replaced_token_ends_the_old_one(fleet: FleetSettings, store_server: Any) -> None:
    """Replacing writes the new value to a file only its owner reads; the old value is turned away at once."""

    a, _, _ = names(fleet)
    place = fleet.site_place("edge")

    async def write(token: str) -> None:
        async with Store(store_server.url, token) as store:
            await store.write(f"{a}--log", [RECORD])

    file = Path(asyncio.run(provision_site(fleet, place))["tokens"][a])
    old = file.read_text()
    again = asyncio.run(provision_site(fleet, place, replaced=a))
    assert again["changes"] == [{"what": "token", "name": a, "why": "replaced"}]
    assert file.stat().st_mode & 0o777 == 0o600
    asyncio.run(write(file.read_text()))
    with pytest.raises(AccessDenied):
        asyncio.run(write(old))
    with pytest.raises(NotFound, match="nobody"):
        asyncio.run(provision_site(fleet, place, replaced="nobody"))


def test_a_token_that_comes_back_while_a_site_looks_keeps_its_rights(fleet: FleetSettings) -> None:
    """Whoever replaces a token removes it first: missing at one look and there at the next, it is not made anew."""
    a, _, _ = names(fleet)
    changed = TokenSpec(a, (f"{a}--*",), ())

    class Replaced(Store):
        looks = 0

        async def tokens(self) -> list[str]:
            found = await super().tokens()
            self.looks += 1
            return [name for name in found if name != a] if self.looks == 1 else found

    async def main() -> None:
        place = fleet.site_place("edge")
        async with Replaced(place.url, place.current_token()) as store:
            await provision(store, wanted(fleet, "edge"))
            store.looks = 0
            await store.ensure_token(changed)
            done = await make_missing(store, fleet, "edge", {a}, look_at_tokens=True)
            assert store.looks == 2
            assert not done.tokens
            assert await store.ensure_token(changed) is None, "its rights are as they were"

    asyncio.run(main())
