"""What the guard saved leaves `kept` once the site is proven to hold it: only that, and the books close as before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.ledger import MINUTE_US, Count, count_of, minute_of
from fleetbox.naming import CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_edge.guard import Guard, GuardOptions
from fleetbox_edge.horizon import Ring
from fleetbox_edge.release import Calm, Freed, Moment, Release
from fleetbox_local.links import Link
from fleetbox_replication.apply import apply_place
from fleetbox_replication.audit import audit
from fleetbox_replication.census import Census, Touches, census_of_robot, census_of_site
from fleetbox_replication.plan import plan
from fleetbox_replication.reconcile import Options, Reconciler, Rhythm, Route
from fleetbox_replication.relay import Relay, RelayOptions
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.tasks import wanted_tasks

from .conftest import Robot
from .test_guard import RING, SIZE, START_US, STEP_US, Rig, draft, records

AT_ONCE = Calm(every_s=0, still_s=0, sure_s=0)
NOW_US = START_US + 3_600_000_000
A_MINUTE = MINUTE_US // STEP_US  # records of a stream


@dataclass(frozen=True)
class Told:
    """A minute as a reconciler tells of it."""

    minute_us: int
    told: Count
    since_us: int = NOW_US - 1


class Shelf:
    """A robot's `kept` of 100 kB with ten saved records a minute, and a site that is proven to hold what it is told."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.touched: list[tuple[str, str, int]] = []
        self.held: dict[str, list[Told]] = {}

    async def renew(self) -> None:
        """Nothing to do: the token stays."""

    async def ensure_bucket(self, cls: str) -> None:
        """Make `kept` as small as it is."""
        await self.store.ensure_bucket(cls, BucketSpec("HARD", 100_000, 8))

    async def fill(self, stream: str, minutes: range, keep: str | None = "1") -> list[Draft]:
        """Save ten records of each minute, as if they were a tenth of it, and have the site hold them."""
        saved = [draft(stream, minute * A_MINUTE + number, keep) for minute in minutes for number in range(10)]
        report = await self.store.write("kept", saved)
        assert not report.refused
        return saved

    async def prove(self, stream: str) -> None:
        """Have the site hold all that is in `kept` of a stream."""
        heads = [head async for head in self.store.query("kept", (stream,), start_us=0, head=True)]
        starts = sorted({minute_of(head.time_us) for head in heads})
        self.held[stream] = [
            Told(start, count_of(head for head in heads if minute_of(head.time_us) == start)) for start in starts
        ]

    def find(self, bucket: str, stream: str, start_us: int, count: int) -> list[Told]:
        """Answer as a reconciler does."""
        assert bucket == "kept"
        return [told for told in self.held.get(stream, []) if told.minute_us >= start_us][:count]

    def release(self, calm: Calm = AT_ONCE) -> Release:
        """Return what makes room here."""
        return Release(self, self.find, lambda *where: self.touched.append(where), calm)

    async def look(self, release: Release, at_s: float = 0.0, **others: object) -> Freed:
        """Look once."""
        kept = Ring(100_000, tuple(await self.store.entries("kept")))
        moment = replace(Moment(at_s, NOW_US, {}, ()), **others)  # type: ignore[arg-type]
        return await release.make_room(kept, moment)

    async def left(self) -> set[tuple[str, int]]:
        """Return what is in `kept`."""
        return set(await records(self.store, "kept"))


@pytest.fixture
def shelf(robot: Robot) -> Callable[[], Shelf]:
    """Open a robot's shelf; the caller's loop closes it."""
    return lambda: Shelf(Store(robot.url, robot.token))


def keys(drafts: list[Draft]) -> set[tuple[str, int]]:
    """Return what identifies records."""
    return {(one.entry, one.time_us) for one in drafts}


def run(shelf: Callable[[], Shelf], scene: Callable[[Shelf], object]) -> None:
    """Play a scene."""

    async def main() -> None:
        made = shelf()
        async with made.store:
            await made.ensure_bucket("kept")
            await scene(made)  # type: ignore[misc]

    asyncio.run(main())


def test_the_oldest_go_until_it_is_half_full(shelf: Callable[[], Shelf]) -> None:
    """Whole minutes of all streams go by age, no more than needed, and the ledger is told where; then nothing more."""

    async def scene(it: Shelf) -> None:
        saved = await it.fill("imu", range(0, 3)) + await it.fill("arm", range(1, 4))
        for stream in ("imu", "arm"):
            await it.prove(stream)
        release = it.release()
        before = sum(entry.size_bytes for entry in await it.store.entries("kept"))
        assert before > 60_000
        freed = await it.look(release)
        left = await it.left()
        assert freed.records == len(saved) - len(left) == 10 * len(it.touched)
        assert freed.bytes == freed.records * SIZE
        after = sum(entry.size_bytes for entry in await it.store.entries("kept"))
        assert 50_000 - 11 * SIZE < after <= 51_000
        gone_us = [time_us for _, time_us in keys(saved) - left]
        assert max(map(minute_of, gone_us)) <= min(minute_of(time_us) for _, time_us in left)
        assert {minute_us for _, _, minute_us in it.touched} == set(map(minute_of, gone_us))

    run(shelf, scene)


def test_only_what_is_proven_and_was_saved_goes(shelf: Callable[[], Shelf]) -> None:
    """What nobody proved, what came after the proof and what an ingest wrote stays, however full it is."""

    async def scene(it: Shelf) -> None:
        unproven = await it.fill("arm", range(0, 2))
        ingested = await it.fill("bag", range(0, 2), keep=None)
        gone = await it.fill("imu", range(0, 1))
        changed = await it.fill("imu", range(1, 2))
        for stream in ("bag", "imu"):
            await it.prove(stream)
        late = [draft("imu", A_MINUTE + 50, "1")]
        await it.store.write("kept", late)
        bag = draft("bag", 2 * A_MINUTE, "1")
        ingested.append(replace(bag, labels={**bag.labels, "session": "mcap-1234"}))  # promoted by an event
        await it.store.write("kept", ingested[-1:])
        ingested += [draft("imu", 77)]
        await it.store.write("kept", ingested[-1:])
        release = it.release()
        assert await it.look(release) == Freed(), "the ingested record stands in the minute, and was not proven"
        await it.prove("bag")
        await it.prove("imu")
        it.held["imu"][1] = replace(it.held["imu"][1], told=count_of(()))
        assert (await it.look(release)).records == 10
        assert await it.left() == keys(unproven + ingested + changed + late)
        assert keys(gone).isdisjoint(await it.left())

    run(shelf, scene)


def test_it_waits_for_calm(shelf: Callable[[], Shelf]) -> None:
    """Nothing goes from an entry that changes or waits, from a minute that a ring holds, or soon after its proof."""

    async def scene(it: Shelf) -> None:
        await it.fill("imu", range(0, 6))
        await it.prove("imu")
        calm = replace(AT_ONCE, still_s=60.0)
        release = it.release(calm)
        assert await it.look(release, 0.0) == Freed()
        assert await it.look(release, 59.0) == Freed()
        await it.fill("imu", range(6, 7))
        assert await it.look(release, 61.0) == Freed(), "it has changed"
        assert await it.look(release, 121.0, waiting={"imu"}) == Freed()
        ring = replace((await it.store.entries("kept"))[0], oldest_us=START_US)
        assert await it.look(release, 122.0, rings={"sensor": Ring(10**6, (ring,))}) == Freed()
        assert (await it.look(release, 123.0)).records

    run(shelf, scene)


def test_a_young_proof_is_not_relied_on(shelf: Callable[[], Shelf]) -> None:
    """A site that is killed may lose what it took a moment ago: its proof has to stand for a while."""

    async def scene(it: Shelf) -> None:
        await it.fill("imu", range(0, 6))
        await it.prove("imu")
        release = it.release(replace(AT_ONCE, sure_s=600.0))
        assert await it.look(release) == Freed()
        assert (await it.look(release, now_us=NOW_US + 600_000_000)).records

    run(shelf, scene)


def test_a_look_is_bounded_and_the_next_goes_on(shelf: Callable[[], Shelf]) -> None:
    """At most so many go in one look, to the minute; our own removals do not count as a change of the entry."""

    async def scene(it: Shelf) -> None:
        await it.fill("imu", range(0, 7))
        await it.prove("imu")
        release = it.release(replace(AT_ONCE, records=5, still_s=1.0))
        await it.look(release, 0.0)
        assert [(await it.look(release, at_s)).records for at_s in (1.0, 1.1)] == [10, 10]
        assert min(time_us for _, time_us in await it.left()) == draft("imu", 2 * A_MINUTE).time_us

    run(shelf, scene)


OUTAGES = 2  # what the first one saved must be gone for the second one's to fit


class Hop:
    """A robot and its site with a link that can be cut, and everything that runs beside the guard."""

    def __init__(self, robot: Robot, rig: Rig, there: Store, link: Link, token: str) -> None:
        self.robot, self.rig, self.there, self.link = robot, rig, there, link
        state = robot.settings.state
        touches = Touches(state / "touches")
        self.census = Census(lambda: rig.store, census_of_robot(robot.id, touches=touches), state / "census")
        self.at_site = Census(lambda: there, census_of_site("edge", lambda: there), state / "site")
        self.secret = relay_secret(robot.token)
        options = RelayOptions(on_stored=lambda *what: self.reconciler.vouched(*what))
        self.relay = Relay("http://127.0.0.1:0", link.url, token, self.secret, options)
        self.reconciler = Reconciler(
            lambda: rig.store, lambda: Store(link.url, token), self.relay, Route(robot.id, "edge", state),
            Options(rhythm=Rhythm(look_s=0.5, waiting_far_s=1.0)),
        )  # fmt: skip
        guard = GuardOptions(
            unproven=self.reconciler.unproven, proven=self.reconciler.proven, touch=touches.note, calm=AT_ONCE
        )
        rig.guard = Guard(rig.door, robot.settings, self.reconciler.is_proven, guard)

    async def begin(self) -> asyncio.Task[None]:
        """Start relay, tasks and reconciler."""
        await self.relay.start()
        place = replace(self.robot.settings.place(), relay=self.relay.url)
        wanted = wanted_tasks(place, [self.robot.id], self.robot.settings.policy.hop_rule("edge"), self.secret)
        done = await apply_place(self.rig.store, place, plan(place.name, wanted, await self.rig.store.tasks()))
        assert all(item.error is None for item in done)
        return asyncio.create_task(self.reconciler.run())

    async def drive(self, numbers: range, selected: range) -> None:
        """Record two streams, and tell the ledger of it as it goes."""
        for start in range(numbers.start, numbers.stop, 20):
            await self.rig.record(["imu", "arm"], range(start, start + 20), selected)
            await self.census.flush()

    async def all_proven(self, minute_us: int) -> None:
        """Wait until the site is proven to hold what `kept` has of a minute."""
        async with asyncio.timeout(120):
            while not all(self.reconciler.is_proven("kept", stream, minute_us) for stream in ("imu", "arm")):
                await self.census.flush()
                await self.at_site.flush()
                await asyncio.sleep(0.2)


def fleet_of(robot: Robot, site: StoreServer, folder: Path) -> FleetSettings:
    """Write and load the fleet of one robot and its site."""
    (folder / "r.token").write_text(robot.token)
    (folder / "s.token").write_text(site.token)
    (folder / "fleet.toml").write_text(
        f'[[robots]]\nmatch = "{robot.id}"\nsite = "edge"\nstore = "{robot.url}"\ntoken = {{ file = "r.token" }}\n'
        f'[site.edge]\nstore = "{site.url}"\ntoken = {{ file = "s.token" }}\n'
    )
    return load_fleet(folder / "fleet.toml")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_round_after_round_fits_into_a_small_kept(
    robot: Robot, new_store_server: Callable[..., StoreServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two outages outlive a `kept` that holds one: all promoted records are at the site, and the books close."""
    monkeypatch.setattr("fleetbox.blobs.writing.TORN_AFTER_S", 5.0)  # what a cut tears is written by nobody else
    site = new_store_server()
    # After a round up to half of it stays until the next: an outage of 69 kB finds room beside what one stream left.
    robot.write(RING % "110 kB" + f'\nsite = "{site.url}"\nsite_token = {{ file = "token" }}')
    rounds = [range(start + 50, start + 80) for start in range(0, OUTAGES * 2 * A_MINUTE, 2 * A_MINUTE)]
    # The robot records at times, so that its numbers have holes: `gaps` tells of them, and is not looked at here.
    promoted = {(one, draft(one, number).time_us) for one in ("imu", "arm") for some in rounds for number in some}
    assert len(promoted) * SIZE > 110_000

    async def main(link: Link) -> None:
        async with Rig(robot) as rig, Store(site.url, site.token) as there:
            for cls in CLASSES:
                await there.ensure_bucket(f"{robot.id}--{cls}", bucket_spec(cls, 100_000_000))
            hop = Hop(robot, rig, there, link, site.token)
            task = await hop.begin()
            try:
                for window in rounds:
                    start = window.start - 50
                    link.cut()
                    await hop.drive(range(start, start + 300), window)
                    ring = await records(rig.store, "sensor")
                    assert not any(record.labels.get("keep") for record in ring.values()), "the ring was to overtake"
                    assert hop.rig.guard.counts.at_risk == 0
                    link.heal()
                    await hop.all_proven(minute_of(draft("imu", start).time_us))
                    await hop.drive(range(start + A_MINUTE, start + A_MINUTE + 140), range(0))
                counts = hop.rig.guard.counts
                assert (counts.saved, counts.full) == (len(promoted), None)
                assert counts.released >= len(promoted) // OUTAGES
                assert set(await records(there, f"{robot.id}--kept")) == promoted
                assert len(await records(rig.store, "kept")) == len(promoted) - counts.released
                await hop.census.flush()
                await hop.at_site.flush()
                fleet, stop_us = fleet_of(robot, site, tmp_path), draft("imu", OUTAGES * 2 * A_MINUTE).time_us
                books = await audit(fleet, Selector.parse("*"), START_US, stop_us, stop_us + 3_600_000_000)
                kept = [row for row in books.rows if row.cls == "kept"]
                assert sum(row.recorded for row in kept) == sum(row.arrived for row in kept) == len(promoted)
                assert all(row.balanced and row.arrived == row.selected for row in books.rows), books.rows
            finally:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
                await hop.relay.stop()

    with Link("127.0.0.1", site.port) as link:
        asyncio.run(main(link))
