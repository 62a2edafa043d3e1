"""Frames by number: the same as the export's, picklable, in bounded memory."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from xxhash import xxh3_64_hexdigest

from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.records import Draft
from fleetbox.settings.lerobot import LerobotMap
from fleetbox.types import video
from fleetbox.types.video import Clip
from fleetbox_query.fleet import Fleet
from fleetbox_query.lerobot.samples import Samples

from ..conftest import Tiers
from .conftest import SECOND, SIZE, T0, camera_times, make_map, picture, record

FRONT, WRIST = "observation.images.front", "observation.images.wrist"


def chosen(fleet: Fleet, tiers: Tiers, map_: LerobotMap, memory: str | int = "1 GB") -> Samples:
    """The samples of one robot over the usual two seconds."""
    return fleet.select(f"{tiers.robot}/**").between(T0, T0 + 2 * SECOND).torch(map_, memory=memory)


def level(picture: Any) -> float:
    """How bright a picture is."""
    return float(picture.mean())


def numbers(sample: Mapping[str, Any]) -> list[float]:
    """A sample's state, as a process may hand it back."""
    return [float(one) for one in sample["observation.state"]] + [level(sample[FRONT])]


def taken(packed: bytes, at: int) -> list[float]:
    """Read one sample in another process."""
    samples = pickle.loads(packed)
    try:
        return numbers(samples[at])
    finally:
        samples.close()


def test_samples_are_the_frames_of_the_export(
    tiers: Tiers, fleet: Fleet, map_: LerobotMap, names: dict[str, str], tmp_path: Path
) -> None:
    """Every number, time and index is the exported dataset's, and each picture is the one recorded then."""
    record(tiers, names)
    samples = chosen(fleet, tiers, map_)
    selection = fleet.select(f"{tiers.robot}/**").between(T0, T0 + 2 * SECOND)
    selection.lerobot(tmp_path / "out", map_)
    table = pq.read_table(next((tmp_path / "out").glob("data/**/*.parquet")))
    assert len(samples) == table.num_rows > 50
    assert samples.episodes == [(0, len(samples))]
    assert samples.names["observation.state"] == ["position.0", "position.1"]
    for at, row in enumerate(table.to_pylist()):
        sample = samples[at]
        assert sample["observation.state"].tolist() == row["observation.state"]
        assert sample["action"].tolist() == row["action"]
        assert (sample["ts_ns"], sample["frame_index"], sample["index"]) == (row["ts_ns"], row["frame_index"], at)
        assert sample["timestamp"] == pytest.approx(row["timestamp"])
        assert sample["task"] == "pick the cup"
        assert sample[FRONT].shape == (SIZE[1], SIZE[0], 3)
        assert level(sample[FRONT]) == pytest.approx(40 + at, abs=2)
    assert samples[-1]["index"] == len(samples) - 1
    with pytest.raises(IndexError):
        samples[len(samples)]


def test_pictures_are_held_within_the_memory(tiers: Tiers, fleet: Fleet, names: dict[str, str]) -> None:
    """load() holds what the memory takes and no more; what is not held is read when asked for."""
    record(tiers, names)
    map_ = make_map(names)
    each = SIZE[0] * SIZE[1] * 3
    some, everything = chosen(fleet, tiers, map_, 10 * each), chosen(fleet, tiers, map_)
    with pytest.raises(InputError, match="no size"):
        chosen(fleet, tiers, map_, "much")
    assert some.load() == 10
    assert everything.load() >= 2 * len(everything) - 2  # both cameras; a wrist picture may stand for two frames
    for at in (0, len(some) // 2, len(some) - 1):
        assert np.array_equal(some[at][WRIST], everything[at][WRIST])
    assert some.load() == 10


def test_a_worker_connects_for_itself(tiers: Tiers, fleet: Fleet, map_: LerobotMap, names: dict[str, str]) -> None:
    """Samples travel to another process without connection and pictures, and give the same there."""
    record(tiers, names)
    samples = chosen(fleet, tiers, map_)
    samples.load()
    packed = pickle.dumps(samples)
    assert len(packed) < 200_000
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(taken, packed, 7).result(170) == numbers(samples[7])


def test_each_event_is_an_episode_and_sizes_are_one(tiers: Tiers, fleet: Fleet, names: dict[str, str]) -> None:
    """Two stretches give two episodes counted on; a size in the map is that of every picture; none is an error."""
    record(tiers, names)
    record(tiers, names, T0 + 10 * SECOND, 1.0)
    front = {"from": [names["front"]], "size": "32x32"}
    features = {"observation.state": [f"{names['joints']}:position"], FRONT: front}
    map_ = make_map(names, features=features, gaps="split")
    samples = fleet.select(f"{tiers.robot}/**").between(T0, T0 + 11 * SECOND).torch(map_)
    assert len(samples.episodes) == 2
    second = samples[samples.episodes[1][0]]
    assert (second["episode_index"], second["frame_index"]) == (1, 0)
    assert second[FRONT].shape == (32, 32, 3)
    with pytest.raises(NotFound, match="makes an episode"):
        fleet.select(f"{tiers.robot}/**").between(T0, T0 + 100).torch(map_)


def film(tiers: Tiers, stream: str, first: int, last: int, times: list[int]) -> None:
    """Put a video of the pictures [first, last) beside them."""
    data = video.encode_clip(Clip([picture(40 + k) for k in range(first, last)], times[first:last], {}), crf=10)
    labels = {
        "robot": tiers.robot, "type": "video", "rows": str(last - first), "t_end": str(times[last - 1]),
        "xxh": xxh3_64_hexdigest(data),
    }  # fmt: skip
    tiers.put("edge", "media", [Draft(f"{stream}/video", times[first], data, labels, "video/mp4")])


def forget(tiers: Tiers, stream: str, times: list[int]) -> None:
    """Take the pictures of these times out of the edge's store."""

    async def removed() -> None:
        edge = tiers.stores["edge"]
        async with Store(edge.url, edge.token) as store:
            await store.delete(f"{tiers.robot}--media", stream, times)

    asyncio.run(removed())


def test_pictures_that_became_video_are_samples(tiers: Tiers, fleet: Fleet, names: dict[str, str]) -> None:
    """Some before the samples were made, some since: each is found at its frame, in any order, alone and as a batch."""
    record(tiers, names)
    times = camera_times(T0, 2.0)
    film(tiers, names["front"], 0, 25, times)
    forget(tiers, names["front"], times[:25])
    map_ = make_map(names, features={FRONT: [names["front"]]})
    before, small = chosen(fleet, tiers, map_), chosen(fleet, tiers, map_, SIZE[0] * SIZE[1] * 3)
    assert len(before) == len(times)
    assert level(before[3][FRONT]) == pytest.approx(43, abs=2)
    film(tiers, names["front"], 25, 50, times)
    forget(tiers, names["front"], times[25:50])
    order = np.random.default_rng(3).permutation(len(before)).tolist()
    for samples in (before, small):
        assert [level(samples[at][FRONT]) for at in order] == pytest.approx([40 + at for at in order], abs=2)
        batch = samples.__getitems__(order[:20])
        assert [level(one[FRONT]) for one in batch] == pytest.approx([40 + at for at in order[:20]], abs=2)


def test_a_camera_all_of_whose_pictures_became_video_makes_samples(
    tiers: Tiers, fleet: Fleet, names: dict[str, str]
) -> None:
    """How far it reaches is known from its videos, with or without times asked for."""
    times = camera_times(T0, 2.0)
    film(tiers, names["front"], 0, 60, times)
    map_ = make_map(names, features={FRONT: [names["front"]]})
    assert len(fleet.select(f"{tiers.robot}/**").torch(map_)) == len(chosen(fleet, tiers, map_)) == len(times)


def test_a_picture_that_is_gone_is_named(tiers: Tiers, fleet: Fleet, names: dict[str, str]) -> None:
    """Its neighbours are read all the same."""
    record(tiers, names)
    samples = chosen(fleet, tiers, make_map(names, features={FRONT: [names["front"]]}))
    forget(tiers, names["front"], [camera_times(T0, 2.0)[9]])
    assert level(samples[8][FRONT]) == pytest.approx(48, abs=2)
    assert level(samples[10][FRONT]) == pytest.approx(50, abs=2)
    with pytest.raises(NotFound, match="cannot be read any more"):
        samples[9]
    with pytest.raises(NotFound, match="cannot be read any more"):
        samples.__getitems__([8, 9])


def test_a_batch_is_its_frames(tiers: Tiers, fleet: Fleet, map_: LerobotMap, names: dict[str, str]) -> None:
    """Read together they are what they are one by one, from the end counted too; what is no frame is refused."""
    record(tiers, names)
    samples, again = chosen(fleet, tiers, map_), chosen(fleet, tiers, map_, 0)
    for one, other in zip(
        samples.__getitems__([5, -1, 5, 30]), (again[5], again[-1], again[5], again[30]), strict=True
    ):
        assert one["index"] == other["index"]
        assert np.array_equal(one[WRIST], other[WRIST])
    with pytest.raises(IndexError):
        samples.__getitems__([0, len(samples)])
    assert repr(samples).startswith(f"Samples({len(samples)} frames, 1 episodes: observation.state")
