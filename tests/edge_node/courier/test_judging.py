"""What an order's window can still bring, judged by what the robot's store holds."""

from __future__ import annotations

import pytest

from fleetbox.events import Event
from fleetbox_edge.courier.judging import what_remains

NOW_US = 1_763_700_000_000_000
HOUR_US = 3_600_000_000
THEN_US = NOW_US - 5 * HOUR_US
HELD = (THEN_US - HOUR_US, NOW_US)


def pulled(*streams: str, resolution: str = "original") -> Event:
    """Return an event of a window five hours ago."""
    return Event("p-1", "pull", "r1", THEN_US, THEN_US - 60_000_000, THEN_US, streams, resolution=resolution)


def test_pictures_that_became_video_count() -> None:
    """A window of a camera is there as long as its video is, though its pictures begin later."""
    held = {"cam/front": (NOW_US - HOUR_US, NOW_US), "cam/front/video": HELD, "imu": HELD}
    there, reason = what_remains(pulled("cam/front"), held, NOW_US)
    assert there
    assert "1 of 2 streams reach back less far: cam/front from" in reason
    assert what_remains(pulled("cam/front"), {"cam/front/video": HELD}, NOW_US) == (True, "")


@pytest.mark.parametrize(("resolution", "there"), [("original", True), ("preview", True), ("thumbnail", False)])
def test_what_is_asked_for_is_as_fine_as_asked(resolution: str, there: bool) -> None:
    """Small frames follow their stream; those that were not asked for are nothing that remains."""
    held = {"cam/front": HELD, "cam/front/preview": HELD, "cam/front/thumbnail": (NOW_US - HOUR_US, NOW_US)}
    assert what_remains(pulled("cam/*", resolution=resolution), held, NOW_US)[0] is there


def test_a_stream_that_begins_with_the_window_is_whole() -> None:
    """What circled in memory begins with its first record in the window: no stream of that is called cut."""
    held = {"imu": (THEN_US - 60_000_000 + 10_000, NOW_US)}
    assert what_remains(pulled("imu"), held, NOW_US) == (True, "")
    assert what_remains(pulled("gps"), held, NOW_US) == (False, "this robot holds no stream that matches gps")
