"""What people look at in a notebook says what it is in words, with units, and in few lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from fleetbox import events
from fleetbox.episodes import Episode
from fleetbox.events import Event
from fleetbox_query.fleet import Fleet

from .conftest import Tiers, blob, chunk

T0 = 1_700_000_000_000_000
SECOND = 1_000_000


@pytest.fixture
def name(tiers: Tiers, stream: str) -> str:
    """A hundred rows in ten records and a picture of a robot, and the rows' full name."""
    for first in range(0, 100, 10):
        times = [T0 + (first + at) * SECOND // 10 for at in range(10)]
        tiers.put(
            "edge", "sensor", [chunk(stream, times, {"x": [0.5] * 10, "n": [1] * 10}, robot=tiers.robot, run="7")]
        )
    picture = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0, picture, robot=tiers.robot, kind="images")])
    brake = Event("e1", "brake", tiers.robot, T0, T0 - SECOND, T0 + 2 * SECOND, note="pallet")
    tiers.put("edge", "meta", [events.draft(brake, T0)])
    return f"{tiers.robot}/{stream}"


def _line(name: str, at: str = "2023-11-14T22:13:20.000000Z") -> str:
    return f"{name} at {at}"


SHOWN: dict[str, tuple[Callable[[Fleet, str], Any], Callable[[str], str]]] = {
    "event": (
        lambda fleet, name: next(iter(fleet.events("brake").robots(name.split("/")[0]))),
        lambda name: f"Event(e1: brake on {name.split('/')[0]} at 2023-11-14T22:13:20.000000Z, "
        "1.0 s before to 2.0 s after, open, pallet)",
    ),
    "item": (
        lambda fleet, name: next(fleet.select(name).records()),
        lambda name: f"Item({_line(name)}: time_series, x=0.5, n=1)",
    ),
    "nearest": (
        lambda fleet, name: fleet.select(name).at(T0 - SECOND),
        lambda name: f"Nearest(Item({_line(name)}: time_series, x=0.5, n=1), 1.0 s after the time asked for, "
        "from edge-1)",
    ),
    "image": (
        lambda fleet, name: next(fleet.select(f"{name}/cam").images()),
        lambda name: f"Image({_line(f'{name}/cam')}: 48 x 64 x 3 uint8)",
    ),
    "batch": (
        lambda fleet, name: next(fleet.select(name).batches()),
        lambda name: f"Batch({name}: 100 rows of x float64, n int64)",
    ),
    "tables": (
        lambda fleet, name: fleet.select(name).arrow(),
        lambda name: f"{name}: 100 rows of x float64, n int64\nrecords read: edge-1 10",
    ),
    "prepared": (
        lambda fleet, name: fleet.select(name).prepared(),
        lambda name: f"Prepared(Source({name} from edge-1))",
    ),
    "explain": (
        lambda fleet, name: fleet.select(name).where("x > 5 && labels.run == '7'").explain(),
        lambda name: "Expression(x > 5 && labels.run == '7'; by labels: run == '7'; by rows, read here: x > 5)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", SHOWN)
def test_what_one_thing_shows(fleet: Fleet, name: str, what: str) -> None:
    """A line names what it is, when, and how much; no ids of records, no bytes of pictures."""
    make, said = SHOWN[what]
    assert repr(make(fleet, name)) == said(name)


def test_a_size_says_where_from_and_what_a_filter_costs(fleet: Fleet, tiers: Tiers, name: str) -> None:
    """The total, a line for each place with how long it takes, and what is looked at first; the same in a notebook."""
    size = fleet.select(name).where(run="7").size()
    head, place, scan = repr(size).splitlines()
    assert head.startswith("100 rows in 10 records, ")
    assert head.endswith(" to fetch")
    assert place.startswith("  edge-1  10 records  ")
    assert ", a guess until more was read from there" in place
    assert scan.startswith("  the filter looks at 10 records first, ")
    html = size._repr_html_()
    assert "<th>place</th>" in html
    assert "<td>edge-1</td><td>10</td>" in html
    assert head in html


def test_a_stream_shows_its_fields_and_rate(fleet: Fleet, tiers: Tiers, stream: str, name: str) -> None:
    """One of the list says in a line what the table has in columns."""
    tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"x": {"dtype": "float64", "unit": "m"}}})
    (one,) = fleet.streams(name)
    assert repr(one) == (
        f"Stream({name}: time_series, 10 Hz, x float64 m; 2023-11-14T22:13:20.000000Z to "
        "2023-11-14T22:13:29.000000Z, held by edge-1)"
    )


def test_an_episode_shows_its_note_and_length() -> None:
    """How often it changed, how long it is, whether it succeeded."""
    one = Episode("i", "picks/1", "r1", ((T0, T0 + 5 * SECOND),), note="pick cup", success=True, version=3)
    assert repr(one) == "Episode(picks/1@3 of r1 from 2023-11-14T22:13:20.000000Z, 5.0 s, success, pick cup)"
