"""Which streams an event takes, by its globs and its resolution."""

from __future__ import annotations

import pytest

from fleetbox.events import Event
from fleetbox_replication.taking import Taking

HELD = ("cam/front", "cam/front/preview", "cam/front/thumbnail", "cam/front/video", "cam/top", "cam/top/thumbnail",
        "imu", "log/app", "map/preview")  # fmt: skip
CAMERAS = [name for name in HELD if name.startswith("cam")]


@pytest.mark.parametrize(
    ("globs", "resolution", "taken"),
    [
        (("**",), "original", list(HELD)),
        (("cam/*",), "original", CAMERAS),
        (("cam/front",), "original", HELD[:4]),
        (("cam/*", "imu"), "preview", ["cam/front/preview", "cam/front/thumbnail", "cam/top/thumbnail", "imu"]),
        (("**",), "thumbnail", ["cam/front/thumbnail", "cam/top/thumbnail", "imu", "log/app"]),
        (("cam/*/thumbnail",), "original", ["cam/front/thumbnail", "cam/top/thumbnail"]),
        (("map/*",), "original", ["map/preview"]),
        (("**",), "some later word", list(HELD)),
    ],
)
def test_frames_follow_their_pictures(globs: tuple[str, ...], resolution: str, taken: list[str]) -> None:
    """Globs speak of originals; what has small frames is taken as those below "original", everything else whole."""
    taking = Taking.among(Event("x-1", "x", "r1", 5, 1, 9, globs, resolution=resolution), HELD)
    assert [name for name in HELD if taking.takes(name)] == list(taken)
