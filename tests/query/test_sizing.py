"""Sizes: what a question would bring, told without moving it."""

from __future__ import annotations

import pytest

from fleetbox_query import sizing
from fleetbox_query.fleet import Fleet
from fleetbox_query.sizing import LongScan, without

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


def put(tiers: Tiers, stream: str, tier: str = "edge", chunks: range = range(10), **labels: str) -> int:
    """Chunks of 10 rows over 5 s each; returns their bytes."""
    drafts = []
    for at in chunks:
        times = [T0 + at * 5 * SECOND + n * SECOND // 2 for n in range(10)]
        drafts.append(chunk(stream, times, {"x": [float(n) for n in range(10)]}, robot=tiers.robot, **labels))
    tiers.put(tier, "sensor", drafts)
    return sum(len(draft.data) for draft in drafts)


def test_size_is_that_of_what_would_come(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Records, rows, bytes and places of a whole stream are exact, and nothing is read for it."""
    total = put(tiers, stream)
    size = fleet.select(f"{tiers.robot}/{stream}").size()
    assert (size.records, size.rows, size.size_bytes, size.exact) == (10, 100, total, True)
    assert size.places["edge-1"].records == 10
    assert not size.places["edge-1"].measured
    assert size.seconds == pytest.approx(max(total / sizing.ASSUMED["edge"], 10 * sizing.RECORD_S))
    assert "100 rows in 10 records" in str(size)
    assert size.as_dict()["places"]["edge-1"]["size_bytes"] == total  # type: ignore[index]


def test_rows_at_a_border_count_in_proportion(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Of a chunk that reaches over the window's end, rows count by its share of time."""
    put(tiers, stream)
    size = fleet.select(f"{tiers.robot}/{stream}").between(T0 + 5 * SECOND, T0 + 12.25 * SECOND).size()
    assert size.rows == pytest.approx(15, abs=1)
    assert size.records == 2


@pytest.mark.usefixtures("own_robot")
def test_each_place_has_its_share(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """What the edge holds is not taken from the robot, and the robot's thin link says how long it takes."""
    put(tiers, stream, "edge", range(5))
    put(tiers, stream, "robot", range(10))
    size = fleet.select(f"{tiers.robot}/{stream}").size()
    assert {name: one.records for name, one in size.places.items()} == {"edge-1": 5, tiers.robot: 5}
    assert size.seconds == size.places[tiers.robot].seconds


def test_a_reading_teaches_the_speed(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Once something large was read from a place, seconds rest on how fast it came."""
    tiers.put("edge", "media", [blob(stream, T0 + n, bytes(400_000)) for n in range(4)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    assert not selection.size().places["edge-1"].measured
    assert len(list(selection.records())) == 4
    assert selection.size().places["edge-1"].measured


@pytest.mark.usefixtures("own_robot")
def test_totals_do_where_listing_would_take_long(
    tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many records the stores' own totals are taken, in proportion to time, and it says so."""
    total = put(tiers, stream, "edge", range(10))
    put(tiers, stream, "robot", range(10, 20))
    monkeypatch.setattr(sizing, "LISTED_MOST", 5)
    size = fleet.select(f"{tiers.robot}/{stream}").size()
    assert (size.exact, size.rows) == (False, None)
    assert size.records == 20
    assert size.size_bytes == pytest.approx(2 * total, rel=0.5)  # the stores count labels, too
    assert str(size).startswith("about ")
    half = fleet.select(f"{tiers.robot}/{stream}").between(T0, T0 + 50 * SECOND).size()
    assert half.records == pytest.approx(10, abs=1)


@pytest.mark.filterwarnings("ignore::fleetbox_query.nothing.NothingFound")
def test_a_filter_says_what_it_costs(tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter by label says how many records it looks at, and a long one warns before it scans."""
    put(tiers, stream, run="a")
    selection = fleet.select(f"{tiers.robot}/{stream}").where(run="b")
    assert (selection.size().records, selection.size().scan) == (0, 10)
    assert "looks at 10 records" in str(selection.size())
    assert list(selection.records()) == []
    size = selection.size()
    assert size.seconds == size.scan_s > 10 * sizing.SCAN_S  # as it took, a request at least: nothing else would come
    monkeypatch.setattr(sizing, "LONG_S", 1e-6)
    found = fleet.select(f"{tiers.robot}/{stream}").where(run="a")
    for verb in (found.records, found.arrow, found.count):
        with pytest.warns(LongScan, match="filtering by run looks at about 10 records"):
            verb()


def test_a_filter_that_was_not_asked_makes_an_upper_bound(
    tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where listing what passes would take long, the size is at most that of all records, and says so."""
    put(tiers, stream, run="a")
    monkeypatch.setattr(sizing, "LISTED_MOST", 1)
    size = fleet.select(f"{tiers.robot}/{stream}").where(run="b").size()
    assert (size.exact, size.records, size.scan) == (False, 10, 10)
    assert str(size).startswith("at most 10 records")


def test_what_is_left_of_a_window() -> None:
    """Taking stretches out of a window leaves what lies around and between them."""
    assert without((0, 10), [(2, 4), (6, 20)]) == [(0, 2), (4, 6)]
    assert without((0, 10), [(0, 10)]) == []
    assert without((0, 10), [(20, 30)]) == [(0, 10)]
