"""The guard on a real, tiny ring: what was promoted is saved in `kept`, and only that, as long as there is room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import xxhash
from conftest import StoreServer
from structlog.testing import capture_logs

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import minute_of
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft, Record
from fleetbox_edge.door import RobotDoor
from fleetbox_edge.guard import Guard, GuardOptions
from fleetbox_edge.horizon import MINUTE_US
from fleetbox_local.links import Link
from fleetbox_replication.apply import apply_place
from fleetbox_replication.plan import plan
from fleetbox_replication.relay import Relay
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks

from .conftest import Robot

START_US = 1_700_000_000_000_000 - 1_700_000_000_000_000 % MINUTE_US
STEP_US = 100_000  # a record of each stream every tenth of a second, of the records' own time
SIZE = 1_000
RING = 'ring = { sensor = "200 kB", media = "200 kB", log = "200 kB", kept = "%s", leave_free = "0 B" }'
WINDOW = range(50, 80)  # the records that an event has promoted, of every stream


def never(bucket: str, stream: str, minute_us: int) -> bool:
    """Tell that a site holds nothing, as while its link is down."""
    return False


def draft(stream: str, number: int, keep: str | None = None) -> Draft:
    """Make a record as the agent would have written it."""
    data = f"{stream} {number} ".encode().ljust(SIZE, b".")
    labels = {"session": "s", "seq": str(number), "xxh": xxhash.xxh3_64_hexdigest(data)}
    if keep:
        labels |= {"keep": keep, "policy": "0" * 8}
    return Draft(stream, START_US + number * STEP_US, data, labels, "text/plain")


async def records(store: Store, bucket: str) -> dict[tuple[str, int], Record]:
    """Return every readable record of a bucket."""
    return {(record.entry, record.time_us): record async for record in store.query(bucket, start_us=0)}


class Rig:
    """A robot's store with tiny rings of small blocks, and its guard."""

    def __init__(self, robot: Robot, is_proven: Callable[[str, str, int], bool] = never) -> None:
        self.door = RobotDoor(robot.settings.place())
        self.guard = Guard(self.door, robot.settings, is_proven)
        self.quota = robot.settings.quota()

    async def __aenter__(self) -> Rig:
        for cls in CLASSES:
            spec = bucket_spec(cls, self.quota.get(cls))
            await self.store.ensure_bucket(cls, BucketSpec(spec.quota_type, spec.quota_bytes, 8))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.door.close()

    @property
    def store(self) -> Store:
        """Return the robot's store."""
        return self.door.store

    async def record(self, streams: list[str], numbers: range, selected: range = WINDOW) -> None:
        """Write so many records of each stream, looking now and then, as the guard does by itself."""
        for at, number in enumerate(numbers):
            keep = "1" if number in selected else None
            report = await self.store.write("sensor", [draft(stream, number, keep) for stream in streams])
            assert not report.refused
            if at % 10 == 9:
                await self.guard.look()


def test_what_was_promoted_outlives_its_ring(robot: Robot) -> None:
    """Windows of several streams are saved with times, labels and bytes before they go; nothing unselected is."""
    robot.write(RING % "10 MB")
    streams = ["imu", "arm/joints", "slow"]

    async def main() -> None:
        async with Rig(robot) as rig:
            await rig.store.write_attachment("sensor", "imu", "schema", {"type": "text"})
            await rig.store.write("sensor", [draft("slow", 51, "1"), draft("slow", 52)])
            await rig.record(streams[:2], range(400))
            kept, ring = await records(rig.store, "kept"), await records(rig.store, "sensor")
            assert min(time_us for stream, time_us in ring if stream != "slow") > draft("imu", WINDOW[-1]).time_us
            assert not any(stream == "slow" for stream, _ in ring), "a slow stream goes with its newest record"
            wanted = [draft(stream, number, "1") for stream in streams[:2] for number in WINDOW]
            wanted.append(draft("slow", 51, "1"))
            assert kept.keys() == {(one.entry, one.time_us) for one in wanted}
            for one in wanted:
                saved = kept[one.entry, one.time_us]
                assert (saved.data, saved.labels, saved.content_type) == (one.data, one.labels, one.content_type)
            assert await rig.store.attachments("kept", "imu") == {"schema": {"type": "text"}}
            assert rig.guard.counts.saved == len(wanted)
            assert (rig.guard.counts.full, rig.guard.counts.at_risk) == (None, 0)

    asyncio.run(main())


def test_a_burst_in_an_empty_ring_is_not_saved(robot: Robot) -> None:
    """A hundred promoted lines within some milliseconds, not yet at the site, stay where there is room for weeks."""
    robot.write('ring = { sensor = "1 GB", media = "2 GB", log = "200 MB", kept = "1 GB", leave_free = "0 B" }')

    async def main() -> None:
        async with Rig(robot) as rig:
            lines = [replace(draft("log/fault", 0, "1"), time_us=START_US + 20 * number) for number in range(100)]
            assert not (await rig.store.write("log", lines)).refused
            assert await rig.guard.look() == 0
            assert await records(rig.store, "kept") == {}

    asyncio.run(main())


def test_a_second_guard_saves_nothing_twice(robot: Robot) -> None:
    """After a restart the next look finds everything saved already, and changes nothing."""
    robot.write(RING % "10 MB")

    async def main() -> None:
        async with Rig(robot) as rig:
            await rig.record(["imu"], range(100), range(100))
            before = await rig.store.entries("kept")
            again = Guard(rig.door, robot.settings, never)
            assert await again.look() == 0
            assert await rig.store.entries("kept") == before

    asyncio.run(main())


def test_what_the_site_holds_is_not_saved(robot: Robot) -> None:
    """Minutes proven at the site turn over; the others are saved."""
    robot.write(RING % "10 MB")
    minute_us = minute_of(START_US) + MINUTE_US

    def proven(bucket: str, stream: str, asked_us: int) -> bool:
        assert bucket == "sensor"
        return stream == "imu" and asked_us != minute_us

    async def main() -> None:
        async with Rig(robot, proven) as rig:
            await rig.record(["imu"], range(0, 1_800, 10), range(0, 1_800, 20))
            times = {time_us for _, time_us in await records(rig.store, "kept")}
            wanted = {draft("imu", number).time_us for number in range(600, 1_200, 20)}
            assert times == wanted

    asyncio.run(main())


def test_a_full_kept_saves_the_oldest_and_says_so(robot: Robot) -> None:
    """When `kept` is full the rest is overwritten: counted, said once, raised never; room given is used again."""
    robot.write(RING % "20 kB")

    async def main() -> None:
        async with Rig(robot) as rig:
            await rig.record(["imu"], range(300), range(300))
            saved = sorted(time_us for _, time_us in await records(rig.store, "kept"))
            assert 0 < len(saved) < 20
            assert saved == [draft("imu", number).time_us for number in range(len(saved))]
            assert rig.guard.counts.full
            assert rig.guard.counts.at_risk > 100
            robot.write(RING % "10 MB")
            async with Rig(robot) as roomy:
                assert await roomy.guard.look() == rig.guard.counts.at_risk
                assert roomy.guard.counts.full is None

    with capture_logs() as said:
        asyncio.run(main())
    assert sum(line["event"].startswith("kept takes no more") for line in said) == 1


def test_the_disk_keeps_its_floor(robot: Robot) -> None:
    """Nothing is copied while the disk has less free than it must keep, however large `kept` may be."""
    robot.write(RING.replace("0 B", "1 GB") % "10 MB")

    async def main() -> None:
        async with Rig(robot) as rig:
            rig.guard = Guard(rig.door, robot.settings, never, GuardOptions(free_bytes=lambda: 10**9 + 5_000))
            await rig.store.write("sensor", [draft("imu", number, "1") for number in range(100)])
            assert await rig.guard.look() == 3
            assert rig.guard.counts.full == "the disk has reached its floor"

    asyncio.run(main())


def test_a_store_that_is_away_is_waited_for(robot: Robot) -> None:
    """Denied or unreachable, the guard goes on looking and never ends its holder."""
    robot.write(RING % "10 MB")
    (robot.folder / "token").write_text("wrong")

    async def main() -> None:
        looks = asyncio.Event()
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) > 2:
                looks.set()
            await asyncio.sleep(0)

        door = RobotDoor(robot.settings.place())
        task = asyncio.create_task(Guard(door, robot.settings, never, GuardOptions(sleep=sleep)).run())
        async with asyncio.timeout(60):
            await looks.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await door.close()

    asyncio.run(main())


def test_with_the_link_down_a_promoted_window_still_arrives(
    robot: Robot, new_store_server: Callable[..., StoreServer]
) -> None:
    """The ring overtakes a dead uplink: what was promoted waits in `kept` and is at the site once the link is back."""
    site = new_store_server()

    async def until(done: Callable[[], Any], seconds: float = 150.0) -> None:
        async with asyncio.timeout(seconds):
            while not await done():  # noqa: ASYNC110 - what happens in servers sets no event here
                await asyncio.sleep(0.1)

    async def main(link: Link) -> None:
        async with Rig(robot) as rig, Store(site.url, site.token) as there:
            for cls in CLASSES:
                await there.ensure_bucket(f"{robot.id}--{cls}", bucket_spec(cls, 100_000_000))
            secret = relay_secret(robot.token)
            relay = Relay("http://127.0.0.1:0", link.url, site.token, secret)
            await relay.start()
            try:
                place = replace(robot.settings.place(), relay=relay.url)
                wanted = wanted_tasks(place, [robot.id], robot.settings.policy.hop_rule("edge"), secret)
                done = await apply_place(rig.store, place, plan(place.name, wanted, await rig.store.tasks()))
                assert all(item.error is None for item in done)
                await rig.record(["imu", "arm"], range(400))
                ring = await records(rig.store, "sensor")
                assert not any(record.labels.get("keep") for record in ring.values()), "the ring was to overtake it"
                link.heal()
                wanted_keys = {(one, draft(one, number).time_us) for one in ("imu", "arm") for number in WINDOW}

                async def arrived() -> bool:
                    return (await records(there, f"{robot.id}--kept")).keys() == wanted_keys

                await until(arrived)
                saved = await records(there, f"{robot.id}--kept")
                assert all(record.labels["keep"] == "1" for record in saved.values())
            finally:
                await relay.stop()

    robot.write(RING % "10 MB" + f'\nsite = "{site.url}"\nsite_token = {{ file = "token" }}')
    with Link("127.0.0.1", site.port) as link:
        link.cut()
        asyncio.run(main(link))
