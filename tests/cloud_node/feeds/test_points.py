"""Points of our own measurements: line protocol that says exactly what is known."""

from __future__ import annotations

import asyncio

import pytest

from fleetbox.measurements import EVENTS, LOGS, ROBOTS, SITES
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.feeds.points import point

AT_US = 1_790_000_000_000_000


def test_types_stay_and_the_unknown_is_left_out() -> None:
    """Whole numbers, numbers and truth values keep their types; None and NaN are no fields."""
    fields = {"trouble": 3, "recording": True, "age_s": 2.0, "held_h": None, "lag_s": float("nan")}
    line = point(ROBOTS, {"robot": "r1", "site": "edge"}, fields, AT_US)
    assert line == f"robots,robot=r1,site=edge trouble=3i,recording=true,age_s=2.0 {AT_US}"
    assert point(ROBOTS, {"robot": "r1", "site": "edge"}, {"held_h": None}, AT_US) is None


def test_a_field_that_no_measurement_has_is_a_fault() -> None:
    """A board could never show it."""
    with pytest.raises(ValueError, match="sites has no field speed"):
        point(SITES, {"site": "edge"}, {"speed": 1.0}, AT_US)


def test_any_text_comes_back_as_it_was(influx: Influx) -> None:
    """Quotes, backslashes, commas, other alphabets; line breaks show as a sign; odd tags are one tag."""
    texts = ['he said "no"', "C:\\new\\", "a, b = c", "Straße 東京", "two\nlines\r\nthree", "", "ends in \\"]

    async def written() -> list[str]:
        async with ScalarStore(influx) as scalars:
            await scalars.ensure_bucket()
            lines = [
                point(LOGS, {"robot": "r 1,=", "site": ""}, {"stream": "log", "text": text}, AT_US + at)
                for at, text in enumerate(texts)
            ]
            report = await scalars.write_lines([line for line in lines if line])
            assert report.refused == {}
            found = await scalars.query("SELECT text FROM logs GROUP BY robot, site")
        assert [one.tags for one in found] == [{"robot": "r 1,=", "site": "-"}]
        return [row[1] for row in found[0].rows]

    expected = [text.replace("\r\n", "\n").replace("\n", " ⏎ ") for text in texts]
    assert asyncio.run(written()) == expected


def test_an_event_has_every_field_it_knows() -> None:
    """Tags come in the order of the measurement, whatever order they are given in."""
    line = point(EVENTS, {"kind": "brake", "site": "edge", "robot": "r1"}, {"lat": 1.5, "id": "e"}, AT_US)
    assert line == f'events,robot=r1,site=edge,kind=brake id="e",lat=1.5 {AT_US}'
