"""A full disk under the robot's store or spool loses nothing in silence: what is acknowledged can be read."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import StoreServer

from fleetbox.blobs import BucketSpec, Store
from fleetbox.blobs.unlisted import Absence, unlisted
from fleetbox.records import Draft
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.store_disk import Room, StoreDisk, store_folder

from .conftest import Robot
from .disks import SmallDisk, small_disk
from .test_duties import until

FRAME = b"\xff\xd8\xff" + bytes(range(256)) * 240  # 61 kB
HOLD_S = 1.5  # several attempts of the writer
NOWHERE = 'store_data = "nowhere"'  # a folder that cannot be looked at: every answer is checked, nothing held back


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """A disk of 80 MB."""
    with small_disk(tmp_path / "disk", 80_000_000) as made:
        yield made


@pytest.fixture
def robot(disk: SmallDisk, tmp_path: Path) -> Iterator[Robot]:
    """A robot whose store has that disk for itself; its spool and the store's own log are elsewhere."""
    server = StoreServer(disk.folder)
    server.start()
    made = Robot(tmp_path / "robot", server.url, server.token, "r1")
    made.write(RING)
    yield made
    server.kill()


RING = 'ring = { leave_free = "0 B" }'


def log_frames(recorder: Recorder, numbers: range) -> None:
    """Log frames that differ, as fast as a camera of 200 Hz."""
    for number in numbers:
        recorder.log("cam/front", FRAME + number.to_bytes(4))
        time.sleep(0.005)


def frames(robot: Robot) -> list[int]:
    """Return the numbers of the frames that can be read."""
    return [int.from_bytes(record.data[-4:]) for record in robot.records("media", "cam/front")]


def test_the_engine_says_yes_to_records_it_does_not_keep(robot: Robot, disk: SmallDisk) -> None:
    """Of the records that a full disk's store says yes to, asking names exactly those that cannot be listed."""

    async def judge() -> None:
        taken: list[Draft] = []
        async with Store(robot.url, robot.token) as store:
            await store.ensure_bucket("media", BucketSpec("NONE", 0))
            disk.fill(leave_bytes=4_000_000)
            for first in range(0, 400, 8):
                drafts = [
                    Draft(f"cam/{number % 4}", 10**15 + number, FRAME, {"xxh": "0"}, "image/jpeg")
                    for number in range(first, first + 8)
                ]
                report = await store.write("media", drafts)
                refused = {id(draft) for draft, _, _ in report.refused}
                taken += [draft for draft in drafts if id(draft) not in refused]
            heads = store.query("media", head=True, start_us=0, stop_us=1 << 60)
            listed = {(head.entry, head.time_us) async for head in heads}
            missing = await unlisted(store, "media", taken)
            assert [draft for draft in taken if (draft.entry, draft.time_us) not in listed] == [
                draft for draft, _ in missing
            ]
            assert {why for _, why in missing} <= {Absence.BROKEN}
            assert 0 < len(taken) < 400

    asyncio.run(judge())


def test_nothing_is_sent_into_the_stores_reserve(robot: Robot, disk: SmallDisk) -> None:
    """While somebody else's file takes the disk, frames wait in the spool; each is there once when it is gone."""
    with Recorder(robot.file, duties=False) as recorder:
        log_frames(recorder, range(100))
        recorder.flush(60)
        disk.fill(leave_bytes=3_000_000)
        log_frames(recorder, range(100, 200))
        until(lambda: "left" in (recorder.stats().last_error or ""))
        time.sleep(HOLD_S)
        assert recorder.stats().acknowledged == 100
        assert disk.free_bytes > 2_000_000
        assert "left" in (recorder.stats().last_error or "")
        disk.empty()
        recorder.flush(60)
        assert recorder.stats().drops == {}
        assert recorder.stats().last_error is None
    assert frames(robot) == list(range(200))


def test_what_is_acknowledged_on_a_full_disk_can_be_read(
    robot: Robot, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the disk cannot be watched the store's word is checked: none is acknowledged in vain, none is lost."""
    monkeypatch.setattr("fleetbox.blobs.writing.TORN_AFTER_S", 1.0)  # nobody else is writing here
    robot.write(f"{RING}\n{NOWHERE}")
    with Recorder(robot.file, duties=False) as recorder:
        log_frames(recorder, range(100))
        recorder.flush(60)
        disk.fill(leave_bytes=8_000_000)
        log_frames(recorder, range(100, 400))
        time.sleep(HOLD_S)
        acknowledged = recorder.stats().acknowledged
        assert acknowledged < 400
        assert len(frames(robot)) >= acknowledged
        disk.empty()
        recorder.flush(60)
        assert recorder.stats().drops == {}
    assert sorted(set(frames(robot))) == list(range(400))


def test_a_full_disk_under_spool_and_store(robot: Robot, disk: SmallDisk) -> None:
    """With the spool on the same disk, what finds no room is dropped by its numbers; nothing else is missing."""
    (robot.folder / "state").symlink_to(disk.folder / "state")
    (disk.folder / "state").mkdir()
    robot.write(f'{RING}\nspool = {{ max = "20 MB" }}')
    with Recorder(robot.file, duties=False) as recorder:
        log_frames(recorder, range(50))
        recorder.flush(60)
        disk.fill()
        log_frames(recorder, range(50, 150))
        time.sleep(HOLD_S)
        disk.empty()
        recorder.flush(60)
        log_frames(recorder, range(150, 200))
        recorder.flush(60)
        drops = recorder.stats().drops
    there = frames(robot)
    named = {number for drop in robot.drops() for number in range(drop.first, drop.first + drop.rows)}
    assert drops == {"disk floor": len(named)}
    assert named
    assert not named & set(there)
    assert sorted([*there, *named]) == list(range(200))
    assert robot.unnamed() == {}


def test_the_disk_of_a_store_is_found_by_its_port(robot: Robot, disk: SmallDisk) -> None:
    """The folder of the process that listens is looked at; where nobody does, nothing is known."""
    folder = store_folder(robot.url)
    assert folder is not None
    assert folder.samefile(disk.folder)
    room = StoreDisk(robot.url).room()
    assert room is not None
    assert abs(room.free - disk.free_bytes) < 1_000_000
    assert StoreDisk("http://127.0.0.1:9").room() is None
    assert StoreDisk("http://store.example:8383").room() is None
    assert StoreDisk(robot.url, disk.folder / "gone").room() is None


@pytest.mark.parametrize(
    ("free", "total", "near_full", "exhausted"),
    [(2 * 10**9, 10**11, False, False), (9 * 10**8, 10**11, True, False), (10**8, 10**11, True, True),
     (5 * 10**6, 8 * 10**7, True, False), (3 * 10**6, 8 * 10**7, True, True)],
)  # fmt: skip
def test_a_small_disk_has_a_small_reserve(free: int, total: int, near_full: bool, exhausted: bool) -> None:
    """The reserve is two blocks of the engine, of a small disk a twentieth."""
    room = Room(free, total)
    assert (room.near_full, room.exhausted) == (near_full, exhausted)
