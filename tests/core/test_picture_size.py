"""How large a picture is, read from its first bytes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fleetbox.types.picture_size import picture_size


@pytest.mark.parametrize("ending", [".jpg", ".png"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (640, 360), (3000, 17)])
def test_the_size_is_read_without_decoding(ending: str, width: int, height: int) -> None:
    """JPEG and PNG tell their size in their first bytes."""
    data = bytes(cv2.imencode(ending, np.zeros((height, width, 3), np.uint8))[1])
    assert picture_size(data) == (width, height)


def test_fill_bytes_and_other_markers_are_passed_over() -> None:
    """Markers before the frame's are skipped by their length, fill bytes one by one."""
    data = bytes(cv2.imencode(".jpg", np.zeros((5, 7, 3), np.uint8))[1])
    assert picture_size(data[:2] + b"\xff\xfe\x00\x06note" + b"\xff" + data[2:]) == (7, 5)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n12", b"text", b"\xff\xd8" + b"\xff\x00" * 9])
def test_what_tells_no_size(data: bytes) -> None:
    """Bytes that are no picture, or only its beginning, tell nothing and raise nothing."""
    assert picture_size(data) is None
