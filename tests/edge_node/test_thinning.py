"""What the policy leaves out before it is recorded, and the small frames that are made of it all the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import numpy as np
import pytest

from fleetbox import types
from fleetbox.settings import Policy, parse_policy
from fleetbox.signing import Envelope
from fleetbox_edge.live_policy import Taken
from fleetbox_edge.preview import shrink
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.thinning import Thinning

from .conftest import Robot

BASE_US = 1_700_000_000_000_000
SMALL = 'preview = { size = "64x36", every = "1s" }\nthumbnail = { size = "32x18", every = "2s" }\n'


def picture(width: int = 320, height: int = 180) -> bytes:
    """Return a JPEG of noise."""
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    return bytes(cv2.imencode(".jpg", pixels)[1])


@contextmanager
def recording(robot: Robot, policy: str) -> Iterator[Recorder]:
    """Record with a policy, without duties."""
    robot.write(policy=policy)
    with Recorder(robot.file, duties=False) as recorder:
        yield recorder


def small_frames(robot: Robot, kind: str) -> list[int]:
    """Return after how many µs each small frame of the camera was taken."""
    return [record.time_us - BASE_US for record in robot.records("small", f"cam/front/{kind}")]


def test_each_size_comes_at_its_own_rate(robot: Robot) -> None:
    """Of four seconds at 10 Hz four previews and two thumbnails come out, beside every original."""
    with recording(robot, f'[stream."cam/*"]\n{SMALL}') as recorder:
        for number in range(40):
            recorder.log("cam/front", picture(), time=BASE_US + number * 100_000)
    assert small_frames(robot, "preview") == [0, 1_000_000, 2_000_000, 3_000_000]
    assert small_frames(robot, "thumbnail") == [0, 2_000_000]
    assert len(robot.records("media", "cam/front")) == 40


def test_only_small_frames_are_kept_where_the_policy_says_so(robot: Robot) -> None:
    """keep = "preview" records no original, leaves no gap and no drop, and still makes both sizes."""
    with recording(robot, f'[stream."cam/*"]\nkeep = "preview"\n{SMALL}') as recorder:
        for number in range(40):
            recorder.log("cam/front", picture(), time=BASE_US + number * 100_000)
        recorder.log("cam/notes", "a text is no picture")
    assert robot.records("media", "cam/front") == []
    assert len(small_frames(robot, "preview")) == 4
    assert len(robot.records("log", "cam/notes")) == 1
    assert (robot.unnamed(), robot.drops()) == ({}, [])


def test_every_thins_originals_of_any_kind(robot: Robot) -> None:
    """`every` holds for pictures, rows and columns alike; what is left out leaves no hole in the numbers."""
    with recording(robot, f'[stream."cam/*"]\nevery = "1s"\n{SMALL}[stream."imu*"]\nevery = "500ms"\n') as recorder:
        for number in range(40):
            recorder.log("cam/front", picture(), time=BASE_US + number * 100_000)
            recorder.log("imu", {"ax": float(number)}, time=BASE_US + number * 100_000)
        times = np.arange(BASE_US, BASE_US + 4_000_000, 100_000)
        recorder.log_columns("imu2", times, {"ax": np.arange(40.0)})
    assert [record.time_us - BASE_US for record in robot.records("media", "cam/front")] == [
        0,
        10**6,
        2 * 10**6,
        3 * 10**6,
    ]
    assert [row["ax"] for row in robot.rows("imu")] == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]
    assert [row["ax"] for row in robot.rows("imu2")] == [0.0, 5.0, 10.0, 15.0, 20.0, 25.0, 30.0, 35.0]
    assert robot.unnamed() == {}


def test_a_new_policy_thins_a_stream_that_runs(robot: Robot) -> None:
    """Rows on the short way are thinned from the moment another policy holds, and all come again when it ends."""
    thin = '[stream."**"]\nevery = "1000s"\n'
    with recording(robot, "") as recorder:
        for number in range(100):
            recorder.log("imu", {"ax": float(number)})
        recorder.live.put(Taken(Envelope(thin, ("*",), 1, 1 << 62), parse_policy(thin)))
        for number in range(100, 200):
            recorder.log("imu", {"ax": float(number)})
        recorder.live.put(None)
        for number in range(200, 300):
            recorder.log("imu", {"ax": float(number)})
    found = [row["ax"] for row in robot.rows("imu")]
    assert found == [float(n) for n in (*range(101), *range(200, 300))]
    assert robot.unnamed() == {}


def test_our_own_streams_are_never_thinned() -> None:
    """A rule for all streams thins neither events nor small frames; a clock set back begins anew."""
    policy = Policy.model_validate({"stream": {"**": {"every": "10s", "preview": {}, "keep": "preview"}}})
    thinning = Thinning(policy.rule_for)
    assert all(thinning.takes("events", n, types.get("event")) for n in range(3))
    assert all(thinning.takes("cam/preview", n, types.get("images")) for n in range(3))
    assert not thinning.takes("cam", 0, types.get("images"))
    taken = [thinning.takes("log/app", time_us, types.get("log")) for time_us in (50 * 10**6, 51 * 10**6, 20 * 10**6)]
    assert taken == [True, False, True]
    assert thinning.left_out == 2


@pytest.mark.parametrize(("width", "height"), [(1920, 1080), (640, 360), (641, 480), (200, 900), (40, 20)])
def test_small_frames_have_the_size_asked_for(width: int, height: int) -> None:
    """However far the decoder reduces, a frame fits its size exactly, and is never enlarged."""
    for size, frame in zip(
        [(640, 360), (120, 68)], shrink(picture(width, height), [(640, 360), (120, 68)]), strict=True
    ):
        made = cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR)
        scale = min(1.0, size[0] / width, size[1] / height)
        assert abs(made.shape[1] - width * scale) <= 1
        assert abs(made.shape[0] - height * scale) <= 1
