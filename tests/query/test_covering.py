"""Coverage: where there are data, where holes, and what only a robot that is away holds."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import NotFound
from fleetbox.ledger import Count, Line, Page, write_page
from fleetbox_query.coverage import bar, gaps, joined, usual_gap
from fleetbox_query.fleet import Fleet, connect
from fleetbox_query.provenance import PartialAnswer

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_040_000_000  # µs, the start of a minute
SECOND = 1_000_000


def fill(tiers: Tiers, stream: str, seconds: range, tier: str = "edge") -> None:
    """A chunk of ten rows in each of these seconds."""
    drafts = [
        chunk(stream, [T0 + s * SECOND + n * 100_000 for n in range(10)], {"x": list(range(10))}, robot=tiers.robot)
        for s in seconds
    ]
    tiers.put(tier, "sensor", drafts)


def test_holes_are_found(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A stretch without records is a hole, from the last row before it to the first after it."""
    fill(tiers, stream, range(20))
    fill(tiers, stream, range(40, 60))
    found = fleet.select(f"{tiers.robot}/{stream}").coverage()
    one = found[f"{tiers.robot}/{stream}"]
    assert one.holes == ((T0 + 19_900_000 + 0, T0 + 40 * SECOND),)
    assert one.share == pytest.approx(2 / 3, abs=0.01)
    assert one.parts == ((T0, T0 + 19_900_000), (T0 + 40 * SECOND, T0 + 59_900_000))
    assert one.as_dict()["holes"] == [[T0 + 19_900_000, T0 + 40 * SECOND]]
    assert "1 hole, " in repr(found)
    assert fleet.select(f"{tiers.robot}/{stream}").coverage(gap="30s")[0].holes == ()


def test_windows_and_places(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Only the time asked about counts, and each place names its own stretches."""
    fill(tiers, stream, range(10))
    fill(tiers, stream, range(10, 20), tier="cloud")
    one = fleet.select(f"{tiers.robot}/{stream}").between(T0 + 5 * SECOND, T0 + 15 * SECOND).coverage()[0]
    assert set(one.places) == {"edge-1", "cloud"}
    assert one.holes == ()
    assert one.asked == ((T0 + 5 * SECOND, T0 + 14_900_000),)


def test_many_records_are_listed_part_by_part(
    tiers: Tiers, fleet: Fleet, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few heads are held at a time, the answer is the same."""
    tiers.put("edge", "log", [blob(stream, T0 + n * SECOND, b"x", kind="log") for n in (*range(30), *range(60, 90))])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    whole = selection.coverage()[0].as_dict()
    monkeypatch.setattr("fleetbox_query.covering.AT_ONCE", 7)
    assert selection.coverage()[0].as_dict() == whole
    assert len(whole["holes"]) == 1


def test_an_absent_robot_has_told_what_it_holds(tiers: Tiers, stream: str, tmp_path: Path) -> None:
    """What only a robot that does not answer holds is known from its ledger, streams that never travelled too."""
    fill(tiers, stream, range(60))
    lines = [_line(stream, 0), _line(stream, 1), _line(f"{stream}/never", 1)]
    asyncio.run(_tell(tiers, lines))
    path = tiers.write_fleet(tmp_path, [tiers.robot], {"robot": "http://127.0.0.1:9"})
    with connect(path) as fleet:
        with pytest.warns(PartialAnswer, match="not asked"):
            found = fleet.select(f"{tiers.robot}/{stream}", f"{tiers.robot}/{stream}/**").coverage()
        with pytest.warns(PartialAnswer):
            never = fleet.select(f"{tiers.robot}/{stream}/never").coverage()
        with pytest.raises(NotFound):
            fleet.select(f"{tiers.robot}/{stream}/nothing").coverage()
    one = found[f"{tiers.robot}/{stream}"]
    assert one.elsewhere == ((T0 + 59_900_000, T0 + 119_900_001),)
    assert one.told_until_us == T0 + 130 * SECOND
    assert [cover.stream for cover in never] == [f"{stream}/never"]
    assert never[0].elsewhere == ((T0 + 60 * SECOND, T0 + 119_900_001),)
    assert never[0].share == 0


def test_streams_tell_what_only_an_absent_robot_holds(
    tiers: Tiers, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list of streams has those that never left an absent robot, and says that it is away."""
    fill(tiers, stream, range(60))
    asyncio.run(_tell(tiers, [_line(stream, 0), _line(stream, 1), _line(f"{stream}/never", 1)]))
    path = tiers.write_fleet(tmp_path, [tiers.robot], {"robot": "http://127.0.0.1:9"})
    monkeypatch.setattr("fleetbox_query.streams.TOLD_S", 60.0)  # a person waits less, a busy machine needs more
    with connect(path) as fleet:
        found = {one.stream: one for one in fleet.streams(f"{tiers.robot}/{stream}*")}
        deep = {one.stream: one for one in fleet.streams(f"{tiers.robot}/{stream}/**")}
        text, html = repr(fleet.streams(f"{tiers.robot}/**")), fleet.streams(f"{tiers.robot}/**")._repr_html_()
        at_edge = fleet.streams(f"{tiers.robot}/**", tier="edge")
        monkeypatch.setattr("fleetbox_query.streams.TOLD_S", 0)
        untold = fleet.streams(f"{tiers.robot}/**")
    assert [held.place for held in found[stream].held] == [tiers.robot, "edge-1"]
    never = deep[f"{stream}/never"]
    assert (never.cls, never.records, never.first_us) == ("sensor", 60, T0 + 60 * SECOND)
    assert [(held.place, held.tier, held.told_us) for held in never.held] == [(tiers.robot, "robot", T0 + 130 * SECOND)]
    assert f"{tiers.robot} (away)" in text
    assert html.startswith("<table><tr><th>robot</th>")
    assert f"<td>{stream}/never</td>" in html
    assert f"{stream}/never" not in [one.stream for one in at_edge]
    assert untold.untold == (tiers.robot,)
    assert "name one to hear it" in repr(untold)


def _line(stream: str, minute: int) -> Line:
    start_us = T0 + minute * 60 * SECOND
    held = Count(60, 6_000, 1)
    return Line("sensor", stream, start_us, held, held, held, 600, start_us, start_us + 59_900_000)


async def _tell(tiers: Tiers, lines: list[Line]) -> None:
    process, bucket = tiers.stores["edge"], f"{tiers.robot}--meta"
    page = Page(tiers.robot, tiers.robot, T0 + 130 * SECOND, tuple(lines))
    async with Store(process.url, process.token, name="edge") as store:
        await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
        await write_page(store, bucket, page)


def test_stretches_are_joined_and_gaps_found() -> None:
    """Stretches closer than a gap are one; what none of them covers is left."""
    assert joined([(0, 5), (7, 9), (20, 21)], 2) == ((0, 9), (20, 21))
    assert list(gaps(((0, 5), (8, 9)), ((2, 12),))) == [(5, 8), (9, 12)]
    assert list(gaps((), ((2, 12),))) == [(2, 12)]
    assert usual_gap([10_000_000] * 5) == 30_000_000
    assert usual_gap([]) == 1_000_000


def test_the_bar_shows_where_data_are(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """The line of text is full where data are and empty where they are not."""
    fill(tiers, stream, range(10))
    fill(tiers, stream, range(30, 40))
    drawn = bar(fleet.select(f"{tiers.robot}/{stream}").coverage()[0])
    assert len(drawn) == 40
    assert drawn[:9] == "█" * 9
    assert drawn[15:25] == "·" * 10
