"""Pictures that became video are found at their times all the same, from `get`, `at` and `records`."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import xxhash

from fleetbox.errors import InputError, NotFound
from fleetbox.records import Draft
from fleetbox.types import video
from fleetbox.types.video import Clip
from fleetbox_query.fleet import Fleet

from .conftest import Tiers, chunk

START_US = 1_700_000_000_000_000
STEP_US = 100_000
pytestmark = pytest.mark.usefixtures("own_robot")


def jpeg(at: int) -> bytes:
    """Return a grey picture whose brightness says which it is."""
    return bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 40 + at, np.uint8))[1])


def which(data: bytes | None) -> int:
    """Return which picture it is, by its brightness."""
    picture = cv2.imdecode(np.frombuffer(data or b"", np.uint8), cv2.IMREAD_GRAYSCALE)
    assert picture is not None
    return round(float(picture.mean())) - 40


def film(tiers: Tiers, stream: str, first: int, last: int) -> None:
    """Put a video of pictures into the robot's store."""
    times = [START_US + at * STEP_US for at in range(first, last)]
    more = {"stream": stream, "seq": [str(at) for at in range(first, last)]}
    data = video.encode_clip(Clip([jpeg(at) for at in range(first, last)], times, more), crf=10)
    labels = {
        "robot": tiers.robot, "type": "video", "rows": str(len(times)), "t_end": str(times[-1]), "weather": "rain",
        "xxh": xxhash.xxh3_64_hexdigest(data),
    }  # fmt: skip
    tiers.put("robot", "media", [Draft(f"{stream}/video", times[0], data, labels, "video/mp4")])


def shoot(tiers: Tiers, stream: str, first: int, last: int) -> None:
    """Put pictures into the robot's store."""
    drafts = [
        Draft(
            stream,
            START_US + at * STEP_US,
            jpeg(at),
            {"robot": tiers.robot, "type": "images", "seq": str(at)},
            "image/jpeg",
        )
        for at in range(first, last)
    ]
    tiers.put("robot", "media", drafts)


@pytest.mark.parametrize("at", [0, 33, 99])
def test_a_moment_within_a_video_gives_its_very_frame(tiers: Tiers, fleet: Fleet, stream: str, at: int) -> None:
    """Each frame is found at its own time, as a JPEG that says what it was made from."""
    film(tiers, stream, 0, 100)
    found = fleet.select(f"{tiers.robot}/{stream}").at(START_US + at * STEP_US + 20_000)
    assert found.off_us == -20_000
    assert which(found.item.data) == pytest.approx(at, abs=1)
    assert (found.item.type, found.item.content_type, found.item.stream) == ("images", "image/jpeg", stream)
    assert found.item.labels["made_from"] == "video"
    assert found.item.labels["seq"] == str(at)
    assert found.item.labels["weather"] == "rain"


def test_pictures_and_frames_come_in_order_and_none_twice(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """What is still there as a picture is given as it is; the rest of its stretch comes from the video."""
    film(tiers, stream, 0, 60)
    shoot(tiers, stream, 20, 30)
    shoot(tiers, stream, 60, 80)
    items = list(
        fleet.select(f"{tiers.robot}/{stream}").between(START_US + 5 * STEP_US, START_US + 70 * STEP_US).records()
    )
    assert [round((item.time_us - START_US) / STEP_US) for item in items] == list(range(5, 70))
    made = [at for at, item in enumerate(items, 5) if "made_from" in item.labels]
    assert made == [*range(5, 20), *range(30, 60)]
    assert [which(item.data) for item in items] == pytest.approx(list(range(5, 70)), abs=1)
    assert "made_from" not in fleet.select(f"{tiers.robot}/{stream}").at(START_US + 25 * STEP_US).item.labels


def test_who_asks_for_the_video_gets_the_video(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """By its own name, and behind a glob that spans segments, it is one record."""
    film(tiers, stream, 0, 20)
    (item,) = fleet.select(f"{tiers.robot}/{stream}/video").records()
    assert item.content_type == "video/mp4"
    assert len(video.offsets_us(item.data or b"")) == 20
    assert [one.type for one in fleet.select(f"{tiers.robot}/{stream}/**").records()] == ["video"]


def test_a_stream_without_pictures_and_videos_is_not_found(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Looking for videos makes no stream out of nothing."""
    film(tiers, stream, 0, 10)
    with pytest.raises(NotFound):
        fleet.select(f"{tiers.robot}/{stream}/none").at(START_US)


def test_get_saves_a_frame_of_a_video_as_a_picture(tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path) -> None:
    """A tech who asks for the picture of a moment gets a file that any viewer opens."""
    from fleetbox_query.getting import save

    film(tiers, stream, 0, 30)
    found = fleet.select(f"{tiers.robot}/{stream}").at(START_US + 7 * STEP_US)
    path = save(found.item, tmp_path)
    assert path.suffix == ".jpg"
    assert which(path.read_bytes()) == pytest.approx(7, abs=1)


def test_tables_frames_and_counts_take_pictures_from_videos(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A stream of which all became video is a stream; where pictures are there still, each moment is there once."""
    film(tiers, stream, 0, 60)
    chosen = fleet.select(f"{tiers.robot}/{stream}")
    part = chosen.between(START_US + 5 * STEP_US, START_US + 70 * STEP_US)
    assert (chosen.count().records, chosen.count().rows, part.count().rows) == (1, 60, 55)
    frame = part.frames()
    assert [which(data) for data in frame["value"]] == pytest.approx(list(range(5, 60)), abs=1)
    shoot(tiers, stream, 20, 30)
    shoot(tiers, stream, 60, 80)
    assert (chosen.count().rows, part.count().rows) == (80, 65)
    table = part.arrow().one
    times = table["time_us"].cast("int64").to_pylist()
    assert [round((at - START_US) / STEP_US) for at in times] == list(range(5, 70))


def test_a_stream_that_became_video_is_written_as_parquet(
    tiers: Tiers, fleet: Fleet, stream: str, tmp_path: Path
) -> None:
    """What `query --format parquet` writes has a row for each picture."""
    import pyarrow.parquet as pq

    from fleetbox_query.answering import Wish
    from fleetbox_query.parquet import write_parquet

    film(tiers, stream, 0, 30)
    out = tmp_path / "pictures.parquet"
    write_parquet(fleet.select(f"{tiers.robot}/{stream}"), Wish(format="parquet", out=out))
    assert [which(data) for data in pq.read_table(out)["value"].to_pylist()] == pytest.approx(list(range(30)), abs=1)


def test_verbs_for_values_say_what_pictures_are_for(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Where only videos or pictures were chosen, the error names them and the verbs that open them."""
    film(tiers, stream, 0, 5)
    selection = fleet.select(f"{tiers.robot}/{stream}")
    for verb, ask in (
        ("batches", selection.batches),
        ("duckdb", selection.duckdb),
        ("decimate", lambda: selection.decimate(10)),
    ):
        with pytest.raises(InputError, match=rf"{stream}: kept as video only, which {verb}") as refused:
            ask()
        assert "images()" in (refused.value.next_step or "")
    with pytest.raises(NotFound):
        fleet.select(f"{tiers.robot}/{stream}-other").batches()
    shoot(tiers, stream, 5, 8)
    assert sum(batch.table.num_rows for batch in selection.batches()) == 3
    with pytest.raises(InputError, match=r"decimate\(\) takes values, and .* have none"):
        selection.decimate(10)
    tiers.put("edge", "sensor", [chunk(f"{stream}/imu", [START_US, START_US + 1], {"x": [1.0, 2.0]})])
    both = fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/imu")
    assert list(both.decimate(10).columns) == ["x"]
