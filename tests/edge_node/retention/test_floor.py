"""A robot whose disk runs full, with its duties, a relay, a reconciler and a site, all real: counted to the record."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
import xxhash
from click.testing import CliRunner

from fleetbox.blobs import Store
from fleetbox.cli.root import root
from fleetbox.errors import NotFound
from fleetbox.ledger import MINUTE_US, Ledger, minute_of, read_ledger
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.selectors import Selector
from fleetbox.settings import Policy, load_fleet
from fleetbox_edge import duties as duties_module
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.duties import Duties
from fleetbox_edge.live_policy import LivePolicy
from fleetbox_edge.retention.checks import retention
from fleetbox_local.links import Link
from fleetbox_local.processes import free_port
from fleetbox_replication import onward as onward_module
from fleetbox_replication.audit import Books, audit
from fleetbox_replication.census import Census, census_of_site
from fleetbox_replication.labeler import Labeler, Pace
from fleetbox_replication.reconcile import Options, Rhythm
from tests.conftest import StoreServer
from tests.edge_node.conftest import Robot
from tests.edge_node.disks import SmallDisk, small_disk
from tests.edge_node.retention.waiting import until

SIZE = 40_000
A_MINUTE = 20  # records of a stream
MINUTES = 6
FLOOR = 30_000_000
HEADROOM = 5_000_000
SLACK = 2_500_000  # what the engine writes of its own meanwhile: blocks copied, its log, pages
SOON = Rhythm(
    look_s=0.2, grace_s=0.2, stalled_s=0.2, again_s=0.2, longest_s=1.0, hops_s=0.5, waiting_far_s=0.5, far_s=0.5
)  # fmt: skip
WHY = {
    "cam/plain": "room on the disk",
    "cam/sent": "room on the disk, delivered",
    "cam/waits": "room on the disk, not delivered",
}


@dataclass
class World:
    """A robot on a small disk and its site behind a link."""

    robot: Robot
    site: StoreServer
    disk: SmallDisk
    link: Link
    begin_us: int
    here: Store
    there: Store
    duties: Duties
    written: Counter[tuple[str, int]] = field(default_factory=Counter)  # stream, minute -> records

    async def record(self, stream: str, keep: str | None = None) -> None:
        """Record some minutes of a stream."""
        drafts = []
        for number in range(MINUTES * A_MINUTE):
            time_us = self.begin_us + number * MINUTE_US // A_MINUTE
            data = f"{stream} {number} ".encode().ljust(SIZE, b".")
            labels = {"robot": self.robot.id, "type": "file", "session": "s", "seq": str(number)}
            labels |= {"xxh": xxhash.xxh3_64_hexdigest(data)} | ({"keep": keep, "policy": "abc"} if keep else {})
            drafts.append(Draft(stream, time_us, data, labels, "text/plain"))
            self.written[stream, minute_of(time_us)] += 1
        assert not (await self.here.write("media", drafts)).refused

    async def held(self, store: Store, bucket: str = "media") -> Counter[tuple[str, int]]:
        """Count what a store holds, by stream and minute."""
        found: Counter[tuple[str, int]] = Counter()
        with suppress(NotFound):
            async for head in store.query(bucket, start_us=0, head=True):
                found[head.entry, minute_of(head.time_us)] += 1
        return found

    async def left(self) -> dict[str, int]:
        """Count what the robot holds, by stream."""
        sums: Counter[str] = Counter()
        for (stream, _), count in (await self.held(self.here)).items():
            sums[stream] += count
        return dict(sums)

    async def ledger(self) -> Ledger:
        """Return what the robot's own pages tell."""
        return await read_ledger(self.here, "meta", self.robot.id)

    async def is_accounted_for(self) -> bool:
        """Tell whether what was written is there or told as removed, of each stream and minute."""
        there, gone = await self.held(self.here), Counter[tuple[str, int]]()
        for one in (await self.ledger()).removals:
            gone[one.stream, one.minute_us] += one.records
        return there + gone == self.written

    async def every_record_is_accounted_for(self) -> None:
        """A moment after one has gone all are there or told of, each with its reason; what was sent is at the site."""
        await until(self.is_accounted_for, "what has gone is told")
        for one in (await self.ledger()).removals:
            assert one.reason == WHY[one.stream]
            assert one.undelivered == (one.records if one.stream == "cam/waits" else 0)
        assert {key: count for key, count in self.written.items() if key[0] == "cam/sent"}.items() <= (
            await self.held(self.there, f"{self.robot.id}--media")
        ).items()

    async def books(self, site: str | None = None) -> Books:
        """Close the books; both censuses have looked."""
        await self.duties.census.flush()
        fleet = load_fleet(self.robot.folder.parent / "fleet.toml")
        now_us = time.time_ns() // 1000
        return await audit(fleet, Selector.parse(f"{self.robot.id}/cam/*"), self.begin_us, now_us, now_us, site=site)

    def needs(self, short_bytes: int) -> None:
        """Let somebody else's file grow until so much is lacking to the floor; below 0 the floor still holds."""
        self.disk.fill(leave_bytes=FLOOR - short_bytes)


def say(books: Books) -> dict[str, tuple[int, int, int, dict[str, int], int, dict[str, int]]]:
    """Return what the books say of each stream."""
    return {
        row.stream: (row.selected, row.arrived, row.waiting, dict(row.lost), row.unexplained, dict(row.removed))
        for row in books.rows
    }


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 160 MB."""
    with small_disk(tmp_path / "disk", 160_000_000) as made:
        yield made


@pytest.fixture
def server(disk: SmallDisk) -> Iterator[StoreServer]:
    """A store on that disk."""
    made = StoreServer(disk.folder)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def robot(server: StoreServer, tmp_path: Path) -> Robot:
    """A robot with that store."""
    return Robot(tmp_path / "r1", server.url, server.token, "r1")


@asynccontextmanager
async def world(robot: Robot, site: StoreServer, disk: SmallDisk) -> AsyncIterator[World]:
    """Set up the site, write the settings, start the duties."""
    async with Store(site.url, site.token) as there, Store(robot.url, robot.token) as here:
        for cls in CLASSES:
            await there.ensure_bucket(f"{robot.id}--{cls}", bucket_spec(cls, 100_000_000))
        with Link("127.0.0.1", site.port) as link:
            robot.write(
                f'site = "{link.url}"\nsite_name = "edge"\nsite_token = {{ file = "site" }}\n'
                f'relay = "http://127.0.0.1:{free_port()}"\nring = {{ leave_free = "{FLOOR} B" }}\n'
            )
            (robot.folder / "site").write_text(site.token)
            (robot.folder.parent / "fleet.toml").write_text(
                f'[[robots]]\nmatch = "{robot.id}"\nsite = "edge"\nstore = "{robot.url}"\n'
                f'token = {{ file = "r1/token" }}\n[site.edge]\nstore = "{link.url}"\n'
                'token = { file = "r1/site" }\ntier = "edge"\n'
            )
            settings = robot.settings
            door = RobotDoor(settings.place(), settings.state / "turns")
            duties = Duties(settings, door, LivePolicy(Policy(), settings.state / "policy"), lambda: None)
            keeper = duties.housekeeping.keeper
            keeper._options = replace(keeper._options, sure_s=0.0, headroom_bytes=HEADROOM)
            begin_us = minute_of(time.time_ns() // 1000) - 30 * MINUTE_US
            work = asyncio.create_task(duties.run())
            try:
                async with asyncio.timeout(150):
                    await duties.settled.wait()
                yield World(robot, site, disk, link, begin_us, here, there, duties)
            finally:
                work.cancel()
                await asyncio.gather(work, return_exceptions=True)
                await door.close()


@pytest.mark.timeout(900)  # a dozen waits for a keeper, a relay and two censuses
def test_a_full_disk_gives_up_the_least_first_and_the_books_know_every_record(
    robot: Robot,
    new_store_server: Callable[..., StoreServer],
    disk: SmallDisk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Unselected, then delivered, and only below the floor what the site does not have: that is named as lost."""
    monkeypatch.setattr(onward_module, "Options", partial(Options, rhythm=SOON))
    monkeypatch.setattr(duties_module, "Labeler", partial(Labeler, pace=Pace(chores_s=0.3)))

    async def main() -> None:
        async with world(robot, new_store_server(), disk) as all_:
            await deliver(all_)
            await all_.here.set_task_mode("media-to-edge", "paused")  # else some wait in a relay
            all_.link.cut()
            await all_.record("cam/waits", "1")
            await nearing_the_floor(all_)
            await below_the_floor(all_)
            all_.disk.empty()  # else what arrives now would go at once
            all_.link.heal()
            await all_.here.set_task_mode("media-to-edge", "enabled")
            await the_link_is_back(all_)

    asyncio.run(main())


TOTAL = MINUTES * A_MINUTE


async def deliver(all_: World) -> None:
    """Record what nobody selects and what does travel, until all of that is proven at the site."""
    await all_.record("cam/plain")
    await all_.record("cam/sent", "1")
    keeper = all_.duties.housekeeping.keeper

    async def proven() -> bool:
        await all_.duties.census.flush()
        minutes = {minute_us for stream, minute_us in all_.written if stream == "cam/sent"}
        return all(keeper.is_proven("media", "cam/sent", minute_us) for minute_us in minutes)

    await until(proven, "what was sent is proven")
    assert keeper.short_bytes == 0


async def nearing_the_floor(all_: World) -> None:
    """First only what nobody selected goes, as much as is needed; then what the site has; the rest stays."""
    disk = all_.disk
    all_.needs(-HEADROOM + 2_000_000)

    async def has_room() -> bool:
        return disk.free_bytes >= FLOOR + HEADROOM - SLACK and (await all_.left()).get("cam/plain", 0) < TOTAL

    await until(has_room, "some of the unselected went")
    assert (await all_.left())["cam/sent"] == (await all_.left())["cam/waits"] == TOTAL
    all_.needs(-1_000_000)

    async def only_waits() -> bool:
        return (await all_.left()).keys() == {"cam/waits"} or disk.free_bytes >= FLOOR + HEADROOM

    await until(only_waits, "the delivered went, too")
    left = await all_.left()
    assert "cam/plain" not in left or left["cam/sent"] == TOTAL, "one rank after the other"
    assert left["cam/waits"] == TOTAL
    assert disk.free_bytes >= FLOOR
    await all_.every_record_is_accounted_for()

    async def closed() -> bool:
        books = await all_.books()
        return (books.balanced, books.exit_code) == (True, 0)

    await until(closed, "the books close with nothing lost")


async def below_the_floor(all_: World) -> None:
    """All that can be spared goes, and then, oldest first, as much of what only the robot has as the floor takes."""
    disk, need, seen = all_.disk, 2 * A_MINUTE * SIZE - SIZE // 2, list[object]()
    all_.needs(-HEADROOM + 500_000)

    keeper = all_.duties.housekeeping.keeper

    async def spared() -> bool:
        left = await all_.left()
        seen[:] = [left, keeper.short_bytes, keeper._scan.at_us, dict(keeper.removing.gone)]
        if left.keys() != {"cam/waits"}:
            all_.needs(-500_000)  # the floor is not broken: whatever can be spared goes first
        return left.keys() == {"cam/waits"}

    await until(spared, "all that can be spared is gone", seen=seen)
    assert (await all_.left())["cam/waits"] == TOTAL
    all_.needs(need)

    async def stands() -> bool:
        return (await all_.left())["cam/waits"] < TOTAL and disk.free_bytes >= FLOOR

    await until(stands, "the floor stands again")
    await all_.every_record_is_accounted_for()

    async def told() -> bool:
        """Tell whether ring, books and doctor say the same: a page may have broken the floor once more."""
        held = await all_.held(all_.here)
        left = sum(held.values())
        books = await all_.books()
        (check,) = await retention(load_fleet(all_.robot.folder.parent / "fleet.toml"), all_.robot.id)
        return (
            0 < left <= TOTAL - 2 * A_MINUTE
            and min(key[1] for key in held) == all_.begin_us + (TOTAL - left) // A_MINUTE * MINUTE_US
            and (books.balanced, books.exit_code, check.verdict, say(books)["cam/waits"])
            == (True, 3, "FAIL", (TOTAL, 0, left, {"disk floor": TOTAL - left}, 0, {WHY["cam/waits"]: TOTAL - left}))
            and check.text.startswith(f"{TOTAL - left:,} records were given up")
        )

    await until(told, "ring, books and doctor say the same of what was given up")


async def the_link_is_back(all_: World) -> None:
    """The rest arrives; robot and site alone name the same loss, and nothing is unexplained."""
    left = (await all_.left())["cam/waits"]
    rest = {
        "cam/plain": (0, 0, 0, {}, 0, {WHY["cam/plain"]: TOTAL}),
        "cam/sent": (TOTAL, TOTAL, 0, {}, 0, {WHY["cam/sent"]: TOTAL}),
        "cam/waits": (TOTAL, left, 0, {"disk floor": TOTAL - left}, 0, {WHY["cam/waits"]: TOTAL - left}),
    }
    census = Census(lambda: all_.there, census_of_site("edge", lambda: all_.there), all_.robot.folder / "there")

    async def settled() -> bool:
        await census.flush()
        standings = (await all_.ledger()).standings.get("edge", {}).values()
        lost = sum(one.lost.get("disk floor", 0) for one in standings)
        unexplained = any(one.unexplained for one in standings)
        return not unexplained and lost == TOTAL - left and say(await all_.books()) == rest

    await until(settled, "the reconciler has named what was lost")

    async def site_says_the_same() -> bool:
        return say(await all_.books("edge")) == rest

    await until(site_says_the_same, "the site knows from its pages")
    arguments = [
        "audit",
        f"{all_.robot.id}/cam/*",
        "--last",
        "2h",
        "--fleet",
        str(all_.robot.folder.parent / "fleet.toml"),
    ]
    run = partial(CliRunner().invoke, root, standalone_mode=False)
    done = await asyncio.to_thread(run, [*arguments, "--json"])
    assert done.return_value == 3
    found = json.loads(done.stdout)
    (row,) = (row for row in found["rows"] if row["stream"] == "cam/waits")
    assert row["removed"] == {WHY["cam/waits"]: TOTAL - left}
    text = (await asyncio.to_thread(run, arguments)).stdout
    assert "removed from the robot since" in text
    assert f"LOST {TOTAL - left:,} (disk floor)" in text
    assert f"fleetbox carry DIR --robot {all_.robot.id}" in text
