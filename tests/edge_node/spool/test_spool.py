"""A spool is bounded, gives up what is worth least, and frees what is done."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fleetbox_edge.spool import Limits, Segment, Spool, SpoolFull, scan
from fleetbox_edge.spool.heads import read_head
from fleetbox_edge.spool.spool import lock_folder, spool_folders

SMALL = Limits(max_bytes=1 << 20)  # sixteen segments of 64 KiB


class Dropped:
    """Remember what a spool gave up."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []

    def __call__(self, cls: str, segment: Segment, reason: str) -> None:
        """Take note, and let the segment go."""
        self.all.append((cls, segment.path.name))
        segment.units.clear()


def payloads(segment: Segment) -> list[bytes]:
    """Return what a segment's file holds behind its head."""
    head, *found = [payload for _, payload in scan(segment.path.read_bytes())]
    assert read_head(segment.path.read_bytes()) is not None
    assert b"head" in head
    return found


def fill(spool: Spool, cls: str, count: int, size: int = 10_000) -> None:
    """Append frames that the store does not have yet."""
    for number in range(count):
        segment = spool.reserve(cls, size)
        segment.units.add((cls, number))
        segment.append(number.to_bytes(4) * (size // 4))


def test_it_stays_within_its_bound_and_drops_the_oldest_media_first(tmp_path: Path) -> None:
    """Filled with frames beyond the bound, the oldest ones go, in order."""
    dropped = Dropped()
    spool = Spool(tmp_path / "s", SMALL, dropped)
    fill(spool, "sensor", 10)
    fill(spool, "media", 200)
    assert spool.bytes <= SMALL.max_bytes
    assert {cls for cls, _ in dropped.all} == {"media"}
    assert [name for _, name in dropped.all] == sorted(name for _, name in dropped.all)


def test_sensor_rows_push_frames_out_and_not_the_other_way(tmp_path: Path) -> None:
    """Rows make room among frames; frames never make room among rows."""
    dropped = Dropped()
    spool = Spool(tmp_path / "s", SMALL, dropped)
    fill(spool, "media", 50)
    fill(spool, "sensor", 60)
    assert {cls for cls, _ in dropped.all} == {"media"}
    fill(spool, "meta", 60)
    assert {"media", "sensor"} == {cls for cls, _ in dropped.all}
    with pytest.raises(SpoolFull, match="spool full"):
        spool.reserve("media", 900_000)


def test_the_disk_floor_holds(tmp_path: Path) -> None:
    """With less free than the floor asks for, nothing is taken, and the reason names the floor."""
    spool = Spool(tmp_path / "s", Limits(leave_free_bytes=1 << 62), Dropped())
    with pytest.raises(SpoolFull, match="disk floor"):
        spool.reserve("sensor", 100)


def test_nothing_is_given_up_where_that_would_not_help(tmp_path: Path) -> None:
    """On a disk that others have filled, and on one that is gone, what the spool holds stays."""
    dropped = Dropped()
    spool = Spool(tmp_path / "s", SMALL, dropped)
    fill(spool, "media", 50)
    spool.limits = Limits(leave_free_bytes=1 << 62)
    with pytest.raises(SpoolFull, match="disk floor"):
        spool.reserve("meta", 100)
    spool.limits = SMALL
    shutil.rmtree(tmp_path / "s")
    with pytest.raises(SpoolFull, match="No such file"):
        spool.reserve("meta", 100)
    assert dropped.all == []


def test_a_frame_larger_than_a_segment_gets_its_own(tmp_path: Path) -> None:
    """Eight megabytes fit into a spool of small segments."""
    spool = Spool(tmp_path / "s", Limits(max_bytes=16 << 20), Dropped())
    segment = spool.reserve("media", 8_000_000)
    segment.append(bytes(range(250)) * 32_000)
    assert [len(payload) for payload in payloads(segment)] == [8_000_000]


def test_done_segments_go_oldest_first(tmp_path: Path) -> None:
    """A segment that is done waits for those before it, as its seals may close their rows."""
    spool = Spool(tmp_path / "s", SMALL, Dropped())
    fill(spool, "sensor", 20)
    first, second, *_ = spool.live()
    second.units.clear()
    spool.sweep("sensor")
    assert not spool.garbage
    first.units.clear()
    spool.sweep("sensor")
    assert list(spool.garbage) == [first, second]


def test_what_is_appended_is_in_the_file_at_once(tmp_path: Path) -> None:
    """Another reader of the file sees a frame as soon as append has returned."""
    spool = Spool(tmp_path / "s", SMALL, Dropped())
    segment = spool.reserve("log", 5)
    segment.append(b"hello")
    assert payloads(segment) == [b"hello"]


def test_a_folder_has_one_owner(tmp_path: Path) -> None:
    """While a spool lives its folder cannot be locked; after close it can."""
    spool = Spool(tmp_path / "s", SMALL, Dropped())
    assert lock_folder(tmp_path / "s") is None
    assert spool.close()
    spool.unlock()
    assert lock_folder(tmp_path / "s") is not None
    assert lock_folder(tmp_path / "gone") is None


def test_a_folder_that_is_being_made_is_nobodys(tmp_path: Path) -> None:
    """Only folders that have had their owner's lock are listed: a new one cannot be taken for a dead process's."""
    Spool(tmp_path / "s", SMALL, Dropped())
    (tmp_path / ".t").mkdir()
    assert spool_folders(tmp_path) == [tmp_path / "s"]
    assert spool_folders(tmp_path / "gone") == []


def test_company_is_seen_by_class(tmp_path: Path) -> None:
    """A spool beside this one counts where it holds something of the class, whether its process lives or not."""
    mine, other = Spool(tmp_path / "a", SMALL, Dropped()), Spool(tmp_path / "b", SMALL, Dropped())
    fill(mine, "media", 1)
    assert not mine.has_company("media")
    fill(other, "sensor", 1)
    assert (mine.has_company("sensor"), mine.has_company("media")) == (True, False)
    other.unlock()
    assert mine.has_company("sensor")
