"""Damage anywhere in a spool costs one record at most, and what it cost is named by its numbers and its place."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fleetbox.clock import Clock
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.outbox import Outbox
from fleetbox_edge.replay import Rebuilder
from fleetbox_edge.session import Session
from fleetbox_edge.spool import Limits, Spool
from fleetbox_edge.spooled import Index, Key, read_index
from fleetbox_edge.suspects import DAMAGED, Suspect, Suspects

CLASSES = ("sensor", "log", "media")
Files = dict[Path, bytes]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    """What a small session leaves: rows of two streams in chunks that are closed and open, columns, texts, frames."""
    folder = tmp_path_factory.mktemp("damage") / "spool"
    session = Session(
        lambda on_drop: Spool(folder, Limits(segment_bytes=1 << 16), on_drop),
        Outbox(1_000_000, lambda cls: None),
        clock=Clock(),
    )
    for number in range(14):
        session.log("imu", {"n": number, "x": 0.0})
        session.log("pose", {"text": f"at {number}", "x": number / 3})
        if number % 5 == 4:
            session.seal_all()
            session.log("log/app", f"line {number}")
            session.log("cam/front", b"\xff\xd8\xff" + bytes(60) + number.to_bytes(2))
            session.log_columns("force", np.arange(3) + number * 1_000 + 10**15, {"f": np.arange(3) / 7})
    yield {path: path.read_bytes() for path in sorted(folder.glob("*.seg"))}
    session.spool.close()
    session.spool.unlock()


def like(files: Files, path: Path) -> Files:
    """Return the files of the same class: others are not concerned."""
    return {other: data for other, data in files.items() if other.name[:3] == path.name[:3]}


def rebuilt(files: Files) -> tuple[dict[Key, Numbers], list[Suspect], int]:
    """Return the numbers of all records that come back, what is missing, and how many places are damaged."""
    found: dict[Key, Numbers] = {}
    missing: list[Suspect] = []
    places = 0
    for cls in CLASSES:
        mine = {path: data for path, data in files.items() if path.name.startswith(cls)}
        index = Index()
        for data in mine.values():
            read_index(index, cls, data)
        suspects = Suspects(index, cls, {})
        rebuilder = Rebuilder(index, cls, 5_000_000, suspects)
        parcels = [parcel for path, data in mine.items() for parcel in rebuilder.feed(path, data)]
        for parcel in [*parcels, *rebuilder.finish()]:
            key = (parcel.address.session, parcel.address.stream)
            assert Numbers((parcel.seq, parcel.seq + parcel.count)).without(found.get(key, Numbers()))
            found.setdefault(key, Numbers()).add(parcel.seq, parcel.seq + parcel.count)
        missing += suspects.found()
        places += len(suspects.places)
    return found, missing, places


def lost(whole: dict[Key, Numbers], found: dict[Key, Numbers]) -> dict[Key, list[tuple[int, int]]]:
    """Return what is in one and not in the other, as ranges; nothing may come back that never was."""
    assert found.keys() <= whole.keys()
    left = {key: numbers.without(found.get(key, Numbers())) for key, numbers in whole.items()}
    assert all(not numbers.without(whole[key]) for key, numbers in found.items())
    return {key: list(numbers) for key, numbers in left.items() if numbers}


def named(missing: list[Suspect]) -> dict[Key, list[tuple[int, int]]]:
    """Return the suspects' numbers as ranges."""
    return {(suspect.session, suspect.stream): list(suspect.numbers) for suspect in missing}


def test_an_undamaged_spool_misses_nothing(files: Files) -> None:
    """All five streams come back with every number, and nothing is suspected."""
    found, missing, places = rebuilt(files)
    assert {stream: list(numbers) for (_, stream), numbers in found.items()} == {
        "imu": [(0, 14)], "pose": [(0, 14)], "force": [(0, 6)], "log/app": [(0, 2)], "cam/front": [(0, 2)],
    }  # fmt: skip
    assert (missing, places) == ([], 0)


def test_any_flipped_bit_costs_one_record_that_is_named(files: Files) -> None:
    """Whichever byte is hit, what is missing is one record at most, and exactly that is suspected, with its place."""
    amiss = tried = 0
    for path, data in files.items():
        mine = like(files, path)
        whole, _, _ = rebuilt(mine)
        for at in range(random.randrange(3), len(data.rstrip(b"\0")), 3):  # all of them take 12 s, with the same result
            flipped = bytearray(data)
            flipped[at] ^= 1 << random.randrange(8)
            found, missing, places = rebuilt({**mine, path: bytes(flipped)})
            gone = lost(whole, found)
            assert sum(len(ranges) for ranges in gone.values()) <= 1
            assert places == 1
            tried += 1
            amiss += gone != named(missing)
            for suspect in missing:
                assert suspect.reason == DAMAGED
                assert suspect.place is not None
                assert suspect.place.path == path
                stretch = suspect.place.stretch
                assert stretch.offset <= at < stretch.offset + len(stretch.data)
    # A flip in the very number or name of a stream's last record: nothing behind it tells; chance moves it by half.
    assert amiss <= tried / 25


def test_a_file_cut_anywhere_gives_all_before_the_cut(files: Files) -> None:
    """Whole frames before the cut come back; what went with the end is suspected as far as seals tell of it."""
    for path, data in files.items():
        mine = like(files, path)
        whole, _, _ = rebuilt(mine)
        for cut in range(0, len(data.rstrip(b"\0")), 7):
            found, missing, places = rebuilt({**mine, path: data[:cut]})
            gone = lost(whole, found)
            assert places <= 2
            for key, ranges in named(missing).items():
                assert Numbers(*ranges).without(Numbers(*gone.get(key, []))).count == 0, (path.name, cut)


def test_a_zeroed_sector_is_damage(files: Files) -> None:
    """Zeros in the middle are not taken for unused room: what stood there is named."""
    whole, _, _ = rebuilt(files)
    path = next(path for path in files if path.name.startswith("sensor"))
    data = bytearray(files[path])
    data[900:1400] = bytes(500)
    found, missing, places = rebuilt({**files, path: bytes(data)})
    assert places == 1
    gone = lost(whole, found)
    assert gone
    assert named(missing) == {key: gone[key] for key in named(missing)}
    assert named(missing)


def test_a_torn_frame_was_never_accepted(files: Files) -> None:
    """A frame whose first byte was not written yet is neither damage nor loss."""
    path = next(path for path in files if path.name.startswith("log"))
    used = len(files[path].rstrip(b"\0"))
    torn = files[path][:used] + b"\0bx\x01" + files[path][4:60]
    whole, _, _ = rebuilt(files)
    found, missing, places = rebuilt({**files, path: torn.ljust(len(files[path]), b"\0")})
    assert lost(whole, found) == {}
    assert (missing, places) == ([], 0)
