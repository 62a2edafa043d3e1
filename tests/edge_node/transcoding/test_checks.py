"""What `doctor` says of pictures that were to become video."""

from __future__ import annotations

from fleetbox_edge.transcoding.checks import judged
from fleetbox_edge.transcoding.notes import StreamNote


def test_videos_and_what_stays_pictures_are_told_with_the_reason() -> None:
    """The reason of most stretches comes first, with its last figures."""
    note = StreamNote("r", 0, 9, 0, 1_000, 400, [(1, 2)])
    for at, why in enumerate(
        ["27.1 dB, less than 34", "90 % of the pictures' bytes, more than 60 %", "29 dB, less than 34"]
    ):
        note.refuse(at, why)
    check = judged("r1", "cam/front", note)
    assert check.verdict == "PASS"
    assert check.text == (
        "cam/front: 9 videos, 40 % of their pictures' bytes; the pictures of 1 wait until they are proven at the site; "
        "3 stretches stay pictures: 29 dB, less than 34 (2x); 90 % of the pictures' bytes, more than 60 % (1x)"
    )


def test_a_stream_that_hardly_becomes_video_is_a_warning() -> None:
    """Encoding costs CPU: where most of it is for nothing the policy asks too much."""
    note = StreamNote("r", videos=1)
    for at in range(2):
        note.refuse(at, "27.1 dB, less than 34")
    check = judged("r1", "cam/front", note)
    assert (check.verdict, check.phrase) == ("WARN", "cam/front stays pictures")
