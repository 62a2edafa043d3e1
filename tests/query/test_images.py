"""Pictures as arrays: in order, in the colours asked for, whatever lies between them."""

from __future__ import annotations

import numpy as np
import pytest

from fleetbox import types
from fleetbox.errors import InputError
from fleetbox_query.fleet import Fleet
from fleetbox_query.provenance import PartialAnswer

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs


def red(height: int = 24) -> bytes:
    """A red picture as JPEG."""
    picture = np.zeros((height, 32, 3), np.uint8)
    picture[..., 2] = 250  # BGR
    return types.ALL["images"].encode(picture)


def test_pictures_come_as_arrays(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Pictures come in order of time as RGB, or BGR when asked; rows beside them are passed over and counted."""
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0 + n, red(24 + n), kind="images", n=str(n)) for n in range(3)])
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1], {"x": [1.0, 2.0]})])
    selection = fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**")
    images = selection.images()
    found = list(images)
    assert [(one.time_us, one.labels["n"], one.array.shape) for one in found] == [
        (T0 + n, str(n), (24 + n, 32, 3)) for n in range(3)
    ]
    assert found[0].array[0, 0, 0] > 200 > found[0].array[0, 0, 2]
    assert images.passed_over == 2
    assert next(selection.images(color="bgr")).array[0, 0, 2] > 200


def test_a_picture_that_does_not_decode_is_named(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A damaged picture hides no other: it is passed over, named, and warned of at the end."""
    drafts = [blob(stream, T0 + n, data, kind="images") for n, data in enumerate((red(), b"\xff\xd8\xffbroken", red()))]
    tiers.put("edge", "media", drafts)
    images = fleet.select(f"{tiers.robot}/{stream}").images()
    with pytest.warns(PartialAnswer, match="does not decode|do not decode"):
        assert [one.time_us for one in images] == [T0, T0 + 2]
    assert not images.provenance.complete


def test_an_unknown_order_of_colours(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Only rgb and bgr are known."""
    tiers.put("edge", "media", [blob(stream, T0, red(), kind="images")])
    with pytest.raises(InputError, match="rgb"):
        fleet.select(f"{tiers.robot}/{stream}").images(color="hsv")  # type: ignore[arg-type]
