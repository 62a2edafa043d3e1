"""The census of a real store: its pages, folded, say what is there, whatever happened in between."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import AccessDenied, StoreRefused, Unreachable
from fleetbox.ledger import MINUTE_US, Count, Folded, Key, count_of, minute_of, read_ledger
from fleetbox.naming import CLASSES, RING_CLASSES, Class
from fleetbox.records import Draft
from fleetbox_replication.census import Census, CensusScope, Rhythm, Touches
from fleetbox_replication.window import label_window
from tests.conftest import StoreServer
from tests.replication.conftest import SECOND, Robot, until

NOON_US = minute_of(1_790_000_000_000_000)
QUICK = Rhythm(look_s=0.01, flush_s=120.0)  # a flush here is to catch up, however busy the machine


@dataclass
class Post:
    """One place that holds one robot's records, with a clock that the test sets and a census of its own."""

    robot: Robot
    folder: Path
    place: str = ""
    now_us: int = NOON_US
    rhythm: Rhythm = QUICK
    census: Census = field(init=False)
    touches: Touches = field(init=False)

    def __post_init__(self) -> None:
        self.place = self.place or self.robot.name
        self.restart()

    def restart(self) -> None:
        """Begin again as a new process would."""
        self.touches = Touches(self.folder / "touches", lambda: self.now_us)
        scope = CensusScope(self.place, self._robots, lambda _, cls: self.robot.bucket(cls), lambda _: self.touches)
        self.census = Census(lambda: self.robot.store, scope, self.folder / "census", self.rhythm, lambda: self.now_us)

    async def _robots(self) -> list[str]:
        return [self.robot.name]

    async def looks(self, until_us: int, step_s: int = 20) -> int:
        """Look every few seconds until a time; return the lines written."""
        written = 0
        while self.now_us < until_us:
            self.now_us += step_s * SECOND
            written += await self.census.look()
        return written

    async def told(self) -> dict[Key, Folded]:
        """Return this place's part of the ledger."""
        ledger = await read_ledger(self.robot.store, self.robot.bucket("meta"), self.robot.name)
        return ledger.of(self.place)

    async def truth(self) -> dict[Key, tuple[Count, Count, Count]]:
        """Return what is in the store, listed here and now, by minute: held, keep, cloud."""
        found: dict[Key, list[Any]] = {}
        for cls in CLASSES:
            async for head in self.robot.store.query(self.robot.bucket(cls), start_us=0, head=True):
                if cls != "meta" or not head.entry.startswith("ledger"):
                    found.setdefault((cls, head.entry, minute_of(head.time_us)), []).append(head)
        return {key: _counts(key[0], heads) for key, heads in found.items()}

    async def agrees(self) -> None:
        """Fail unless the ledger tells exactly what the store holds."""
        told = {key: (item.line.held, item.line.keep, item.line.cloud) for key, item in (await self.told()).items()}
        assert {key: counts for key, counts in told.items() if counts[0].records} == await self.truth()


def _counts(cls: Class, heads: list[Any]) -> tuple[Count, Count, Count]:
    held = count_of(heads)
    if cls not in RING_CLASSES:
        return held, held, held
    keep = count_of(head for head in heads if "keep" in head.labels)
    return held, keep, count_of(head for head in heads if head.labels.get("keep") == "1")


@asynccontextmanager
async def post(server: StoreServer, folder: Path, **changes: Any) -> AsyncIterator[Post]:
    """Provision a robot's buckets and a census that counts them."""
    async with Store(server.url, server.token) as store:
        robot = Robot(store)
        await robot.provision()
        yield Post(robot, folder, **changes)


def run(server: StoreServer, folder: Path, scenario: Callable[[Post], Coroutine[Any, Any, None]], **how: Any) -> None:
    """Run a scenario at a post of its own."""

    async def whole() -> None:
        async with post(server, folder, **how) as here:
            await scenario(here)

    asyncio.run(whole())


def every(start_us: int, seconds: float, count: int) -> list[int]:
    """Return so many times, so many seconds apart."""
    return [start_us + round(step * seconds * SECOND) for step in range(count)]


def test_minutes_that_are_over_are_told_once(store_server: StoreServer, tmp_path: Path) -> None:
    """Three minutes of a chunk stream and a camera: one line a minute, none of the running one, nothing twice."""

    async def scenario(here: Post) -> None:
        await here.census.look()
        for minute in range(3):
            start_us = NOON_US + minute * MINUTE_US
            await here.robot.write("sensor", "imu", every(start_us, 5, 12), rows="500", session="s1")
            await here.robot.write("media", "cam/front", every(start_us, 2, 30), keep="1")
            await here.looks(start_us + MINUTE_US)
        assert await here.looks(NOON_US + 3 * MINUTE_US + 15 * SECOND) == 2
        await here.agrees()
        assert len(await here.told()) == 6
        assert await here.looks(NOON_US + 10 * MINUTE_US) == 0

    run(store_server, tmp_path, scenario)


def test_what_was_there_before_the_census_is_told_in_stretches(store_server: StoreServer, tmp_path: Path) -> None:
    """Records of hours and months ago get their lines too, a stretch at a time, without listing the emptiness."""

    async def scenario(here: Post) -> None:
        month_us = 30 * 24 * 60 * MINUTE_US
        for ago_us in (400 * month_us, month_us, 150 * MINUTE_US, 70 * MINUTE_US, 5 * MINUTE_US):
            await here.robot.write("sensor", "imu", every(NOON_US - ago_us, 5, 24), session="s1")
            await here.robot.write("kept", "bag", every(NOON_US - ago_us + MINUTE_US, 5, 24))
        for _ in range(20):
            await here.census.look()
        assert await here.looks(NOON_US + MINUTE_US) == 0
        await here.agrees()

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=0.01, walk_share=1.0))


def test_a_walk_leaves_the_machine_to_others(store_server: StoreServer, tmp_path: Path) -> None:
    """After a stretch the walk rests nine times as long as it took; looks go on."""

    async def scenario(here: Post) -> None:
        for hour in range(30):
            await here.robot.write("sensor", "imu", every(NOON_US - hour * 60 * MINUTE_US, 5, 12))
        for _ in range(5):
            await here.census.look()
        assert 0 < len(await here.told()) < 30
        await here.census.flush()
        await here.agrees()

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, walk_share=0.0001))


@pytest.mark.parametrize("lost", [False, True])
def test_a_restart_tells_nothing_twice_and_misses_nothing(
    store_server: StoreServer, tmp_path: Path, lost: bool
) -> None:
    """With its notes or without, a new census goes on: what came while it was away is told, what was told is not."""

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 36))
        await here.looks(NOON_US + 5 * MINUTE_US)
        assert len(await here.told()) == 3
        await here.robot.write("sensor", "imu", every(NOON_US + 3 * MINUTE_US, 5, 24))
        if lost:
            shutil.rmtree(tmp_path / "census")
        here.restart()
        assert await here.looks(NOON_US + 10 * MINUTE_US) == 2
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_notes_that_cannot_be_read_are_begun_anew(store_server: StoreServer, tmp_path: Path) -> None:
    """A torn file of notes costs a walk, nothing else."""

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 36))
        await here.looks(NOON_US + 5 * MINUTE_US)
        (notes,) = (tmp_path / "census").glob("*.json")
        notes.write_text(notes.read_text()[:40])
        here.restart()
        assert await here.looks(NOON_US + 10 * MINUTE_US) == 0
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_the_open_minute_is_told_by_a_flush_and_revised_when_it_is_over(
    store_server: StoreServer, tmp_path: Path
) -> None:
    """A clean stop tells the running minute as it is; after the restart the whole minute is told."""

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 4), rows="5", session="s1")
        here.now_us = NOON_US + 20 * SECOND
        assert await here.census.look() == 0
        assert await here.census.flush() == 1
        await here.agrees()
        here.restart()
        await here.robot.write("sensor", "imu", every(NOON_US + 20 * SECOND, 5, 8), rows="5", session="s1")
        assert await here.looks(NOON_US + 2 * MINUTE_US) == 1
        await here.agrees()
        (folded,) = (await here.told()).values()
        assert (folded.line.rows, folded.line.last_us) == (60, NOON_US + 55 * SECOND)

    run(store_server, tmp_path, scenario)


def test_a_touched_minute_is_told_anew_at_the_next_look(store_server: StoreServer, tmp_path: Path) -> None:
    """A replayed record an hour late, and labels given an hour late, stand in the ledger after one look."""

    async def scenario(here: Post) -> None:
        times = every(NOON_US, 5, 12)
        await here.robot.write("sensor", "imu", times[:6] + times[7:])
        await here.robot.write("sensor", "imu", every(NOON_US + MINUTE_US, 5, 700))
        await here.looks(NOON_US + 65 * MINUTE_US)
        await here.robot.write("sensor", "imu", [times[6]])
        here.touches.note("sensor", "imu", times[6])
        assert await here.census.look() == 1
        await here.agrees()
        await here.robot.store.relabel(here.robot.bucket("sensor"), {"imu": times[:3]}, {"keep": "1"})
        for time_us in times[:3]:
            here.touches.note("sensor", "imu", time_us)
        assert await here.census.look() == 1
        await here.agrees()
        assert await here.census.look() == 0

    run(store_server, tmp_path, scenario)


def test_touches_outlive_a_census_that_dies_before_it_has_told(store_server: StoreServer, tmp_path: Path) -> None:
    """What was taken and not told comes again in the next process."""

    async def scenario(here: Post) -> None:
        times = every(NOON_US, 5, 12)
        await here.robot.write("sensor", "imu", [*times[:6], *every(NOON_US + 20 * MINUTE_US, 5, 12)])
        await here.looks(NOON_US + 25 * MINUTE_US)
        await here.robot.write("sensor", "imu", times[6:])
        here.touches.note("sensor", "imu", times[6])
        here.touches.take()
        here.restart()
        assert await here.census.look() == 1
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_late_records_that_nobody_noted_are_found(store_server: StoreServer, tmp_path: Path) -> None:
    """Records near by are found at once, those far behind by a walk, and another walk has to wait."""

    async def scenario(here: Post) -> None:
        def live(minute: int) -> list[int]:
            return every(NOON_US + minute * MINUTE_US, 5, 12)

        async def go(minutes: range) -> None:
            for minute in minutes:
                await here.robot.write("sensor", "imu", live(minute))
                await here.looks(NOON_US + (minute + 1) * MINUTE_US)

        await go(range(5))
        await here.robot.write("sensor", "imu", [NOON_US + 3 * MINUTE_US + 1])
        await go(range(5, 8))
        await here.looks(NOON_US + 8 * MINUTE_US + 30 * SECOND)
        await here.agrees()
        for late, found in ((1, True), (2, False)):
            await here.robot.write("sensor", "imu", [NOON_US + late])
            start = 8 if late == 1 else 12
            await go(range(start, start + 4))
            await here.looks(NOON_US + (start + 4) * MINUTE_US + 30 * SECOND)
            key = ("sensor", "imu", NOON_US)
            assert ((await here.told())[key].line.held == (await here.truth())[key][0]) is found
        await go(range(16, 22))
        await here.looks(NOON_US + 22 * MINUTE_US + 30 * SECOND)
        await here.agrees()

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=20, walk_share=1.0))


@pytest.mark.parametrize("goes_on", [True, False])
def test_records_removed_behind_its_back_are_missed(store_server: StoreServer, tmp_path: Path, goes_on: bool) -> None:
    """A minute that lost records is told again with fewer, whether its stream still records or not."""

    async def scenario(here: Post) -> None:
        times = [at for minute in range(6) for at in every(NOON_US + minute * MINUTE_US, 5, 12)]
        await here.robot.write("sensor", "imu", times)
        await here.looks(NOON_US + 9 * MINUTE_US)
        gone = times[14:17]
        assert await here.robot.store.delete(here.robot.bucket("sensor"), "imu", gone) == len(gone)
        if goes_on:
            await here.robot.write("sensor", "imu", every(NOON_US + 9 * MINUTE_US, 5, 12))
        await here.looks(NOON_US + 13 * MINUTE_US)
        folded = (await here.told())["sensor", "imu", NOON_US + MINUTE_US]
        assert (folded.line.held.records, folded.held.records) == (9, 12)

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=20, walk_share=1.0))


def test_older_records_than_there_ever_were_are_found_at_once(store_server: StoreServer, tmp_path: Path) -> None:
    """A moment of the past that is asked for later lies before everything else of its stream."""

    async def scenario(here: Post) -> None:
        await here.robot.write("media", "cam/front", every(NOON_US, 2, 60), keep="1")
        await here.looks(NOON_US + 5 * MINUTE_US)
        await here.robot.write("media", "cam/front", every(NOON_US - 200 * MINUTE_US, 2, 60), keep="1")
        await here.looks(NOON_US + 7 * MINUTE_US)
        await here.agrees()

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=0.01, walk_share=1.0))


@pytest.mark.parametrize("days", [-1, 1])
def test_a_clock_that_jumps_a_day_makes_minutes_like_others(
    store_server: StoreServer, tmp_path: Path, days: int
) -> None:
    """Recorded before, after the jump, and after the clock is right again: all are told, soon."""

    async def scenario(here: Post) -> None:
        jump_us = days * 24 * 60 * MINUTE_US
        for start_us in (NOON_US, NOON_US + 10 * MINUTE_US + jump_us, NOON_US + 20 * MINUTE_US):
            here.now_us = start_us
            for minute in range(4):
                await here.robot.write("sensor", "imu", every(start_us + minute * MINUTE_US, 5, 12))
                await here.robot.write("log", "text", [start_us + minute * MINUTE_US + 3])
                await here.looks(start_us + (minute + 1) * MINUTE_US)
            await here.looks(start_us + 6 * MINUTE_US)
            await here.agrees()

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=20, walk_share=1.0))


def test_pages_stand_in_the_order_they_were_written_though_the_clock_goes_back(
    store_server: StoreServer, tmp_path: Path
) -> None:
    """A revision after the clock was set back still is the last word."""

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 6))
        here.now_us = NOON_US + 20 * SECOND
        await here.census.flush()
        await here.robot.write("sensor", "imu", every(NOON_US + 30 * SECOND, 5, 6))
        here.now_us = NOON_US - 24 * 60 * MINUTE_US
        await here.census.flush()
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_records_of_other_tools_count_too(store_server: StoreServer, tmp_path: Path) -> None:
    """No labels, odd labels, deep names, an entry named like the ledger outside of meta: all have their lines."""

    async def scenario(here: Post) -> None:
        for cls, stream in (("sensor", "ledger"), ("log", "a/b/c/d-_e"), ("media", "-"), ("kept", "cam/$meta-not")):
            odd = {"rows": "many", "seq": "-3", "session": "s", "keep": "no"} if cls == "log" else {}
            drafts = [Draft(stream.replace("$", ""), at, b"x", odd, "") for at in every(NOON_US, 7, 9)]
            assert (await here.robot.store.write(here.robot.bucket(cls), drafts)).refused == []
        await here.robot.store.write_attachment(here.robot.bucket("sensor"), "ledger", "schema", {"a": 1})
        await here.looks(NOON_US + 3 * MINUTE_US)
        await here.agrees()
        assert {key[:2] for key in await here.told()} >= {("sensor", "ledger"), ("media", "-")}

    run(store_server, tmp_path, scenario)


def test_a_ring_takes_nothing_back_from_what_was_told(store_server: StoreServer, tmp_path: Path) -> None:
    """Lines of minutes that the ring has taken stay; the one it has turned into is marked when it is listed again."""

    async def scenario(here: Post) -> None:
        ring = BucketSpec("FIFO", 1_000_000, 8, 80_000)
        await here.robot.store.ensure_bucket(here.robot.bucket("media"), ring)
        for minute in range(6):
            await here.robot.write("media", "cam/front", every(NOON_US + minute * MINUTE_US, 2, 30), size=10_000)
            await here.looks(NOON_US + (minute + 1) * MINUTE_US + 10 * SECOND)
        truth = await here.truth()
        oldest_us = min(key[2] for key in truth)
        assert oldest_us > NOON_US
        told = await here.told()
        assert [told[key].held.records for key in sorted(told)] == [30] * 6
        torn = ("media", "cam/front", oldest_us)
        if truth[torn][0].records < 30:
            here.touches.note(*torn)
            await here.census.look()
            folded = (await here.told())[torn]
            assert (folded.held.records, folded.line.partial) == (30, True)
            assert folded.line.held == truth[torn][0]

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=20))


def test_minutes_the_ring_took_before_they_were_told_are_partial_or_not_there(
    store_server: StoreServer, tmp_path: Path
) -> None:
    """A census that comes late to a full ring marks the oldest minute: it may have held more."""

    async def scenario(here: Post) -> None:
        ring = BucketSpec("FIFO", 1_000_000, 8, 80_000)
        await here.robot.store.ensure_bucket(here.robot.bucket("media"), ring)
        await here.robot.write("media", "cam/front", every(NOON_US + 7 * SECOND, 2, 200), size=10_000)
        await here.looks(NOON_US + 12 * MINUTE_US)
        await here.agrees()
        told = await here.told()
        assert [told[key].line.partial for key in sorted(told)] == [True, *[False] * (len(told) - 1)]

    run(store_server, tmp_path, scenario, rhythm=replace(QUICK, look_s=20, walk_share=1.0))


def test_records_taken_away_by_a_person_are_told_without_forgetting_them(
    store_server: StoreServer, tmp_path: Path
) -> None:
    """A minute emptied though no ring turns has a last word of nothing, and its most is kept."""

    async def scenario(here: Post) -> None:
        times = every(NOON_US, 5, 12)
        await here.robot.write("sensor", "imu", [*times, *every(NOON_US + 3 * MINUTE_US, 5, 12)])
        await here.looks(NOON_US + 6 * MINUTE_US)
        await here.robot.store.delete(here.robot.bucket("sensor"), "imu", times)
        here.touches.note("sensor", "imu", NOON_US)
        await here.census.look()
        folded = (await here.told())["sensor", "imu", NOON_US]
        assert (folded.line.held.records, folded.held.records) == (0, 12)

    run(store_server, tmp_path, scenario)


def test_a_store_away_costs_nothing_but_time(new_store_server: Callable[..., StoreServer], tmp_path: Path) -> None:
    """Killed between two looks, the store is waited for; then everything is told, once."""
    server = new_store_server()

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 36))
        await here.looks(NOON_US + 70 * SECOND)
        server.kill()
        with pytest.raises(Unreachable):
            await here.census.look()
        server.start()
        await here.looks(NOON_US + 6 * MINUTE_US)
        await here.agrees()

    run(server, tmp_path, scenario)


def test_what_an_event_promotes_is_told_at_the_next_look(store_server: StoreServer, tmp_path: Path) -> None:
    """A mark on a moment long told: the labeler's patches show in the ledger without a listing of the rest."""

    async def scenario(here: Post) -> None:
        await here.robot.write("media", "cam/front", every(NOON_US, 1, 300))
        await here.looks(NOON_US + 30 * MINUTE_US)
        moment_us = NOON_US + 2 * MINUTE_US
        scope = replace(here.robot.scope(), touched=here.touches.note)
        await label_window(here.robot.store, here.robot.event(moment_us), scope)
        assert await here.census.look() == 2
        await here.agrees()
        told = await here.told()
        kept = [told["media", "cam/front", moment_us + n * MINUTE_US].line.cloud.records for n in (-1, 0)]
        assert kept == [10, 6]

    run(store_server, tmp_path, scenario)


def test_dying_between_the_page_and_the_notes_tells_nothing_wrong(store_server: StoreServer, tmp_path: Path) -> None:
    """Killed after its page was written, with the notes of the look before: the next one finds it told."""

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 24), session="s1")
        await here.looks(NOON_US + MINUTE_US + 40 * SECOND)
        (notes,) = (tmp_path / "census").glob("*.json")
        before = notes.read_text()
        assert await here.looks(NOON_US + 3 * MINUTE_US) == 1
        notes.write_text(before)
        here.restart()
        assert await here.looks(NOON_US + 4 * MINUTE_US) == 0
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_a_full_disk_under_the_notes_does_not_stop_the_ledger(store_server: StoreServer, tmp_path: Path) -> None:
    """Notes that cannot be written cost a listing at the next start, and no page."""

    async def scenario(here: Post) -> None:
        (tmp_path / "census").write_text("in the way")
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 12))
        await here.looks(NOON_US + 3 * MINUTE_US)
        await here.agrees()

    run(store_server, tmp_path, scenario)


def test_a_bucket_that_goes_and_comes_again_is_counted_anew(store_server: StoreServer, tmp_path: Path) -> None:
    """Somebody removes a robot's media and records go on: what is there now is told, the rest stays told."""

    async def scenario(here: Post) -> None:
        await here.robot.write("media", "cam/front", every(NOON_US, 5, 12))
        await here.looks(NOON_US + 3 * MINUTE_US)
        await here.robot.store.remove_bucket(here.robot.bucket("media"))
        assert await here.looks(NOON_US + 4 * MINUTE_US) == 0

        async def is_gone() -> bool:
            try:
                return await here.robot.store.bucket_spec(here.robot.bucket("media")) is None
            except StoreRefused:
                return False  # the engine is still at it

        await until(is_gone)
        await here.robot.store.ensure_bucket(here.robot.bucket("media"), BucketSpec("NONE", 0))
        await here.robot.write("media", "cam/front", every(NOON_US + 4 * MINUTE_US, 5, 12))
        assert await here.looks(NOON_US + 6 * MINUTE_US) == 1
        held = [item.held.records for _, item in sorted((await here.told()).items())]
        assert held == [12, 12]

    run(store_server, tmp_path, scenario)


def test_a_revoked_token_is_said_at_once_and_a_new_one_goes_on(
    new_store_server: Callable[..., StoreServer], tmp_path: Path
) -> None:
    """Whoever runs the census has to read the token again: run() ends with the store's refusal."""
    server = new_store_server()

    async def scenario(here: Post) -> None:
        await here.robot.write("sensor", "imu", every(NOON_US, 5, 12))
        here.now_us = NOON_US + 3 * MINUTE_US
        good, here.robot.store = here.robot.store, Store(server.url, "revoked")
        with pytest.raises(AccessDenied):
            await here.census.run()
        await here.robot.store.close()
        here.robot.store = good
        await here.census.flush()
        await here.agrees()

    run(server, tmp_path, scenario)
