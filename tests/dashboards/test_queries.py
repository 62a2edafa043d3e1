"""Every query of every board and alert on a real InfluxDB: each returns rows, and they hold the right values."""

from __future__ import annotations

from typing import Any

import pytest
from small_fleet import MINUTES, ROBOTS_HERE, SICK, Loaded, point

from fleetbox.measurements import BOOKS, BOOKS_HOURS, HOST_HOURS
from fleetbox.scalars import ScalarStore, Series
from fleetbox_dashboards.alerts import alerts
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.checking import check
from fleetbox_dashboards.filling import Asked, Filling, queries
from fleetbox_dashboards.limits import WORST

CHOSEN = {"site": ".*", "kind": ".*", "robots": "", "find": "", "robot": "r1", "stream": "imu", "field": "ax"}
EVERY = {(asked.board, asked.place): asked for board in boards().values() for asked in queries(board)}
# board, panel -> what its newest row holds, and under which column
NEWEST: dict[tuple[str, str], dict[str, Any]] = {
    ("fleet", "Robots"): {"value": len(ROBOTS_HERE)},
    ("fleet", "Recording"): {"value": len(ROBOTS_HERE) - 1},
    ("fleet", "Silent"): {"value": 1},
    ("fleet", "Waiting"): {"value": 40},
    ("fleet", "Lost"): {"value": 5},
    ("fleet", "Unexplained"): {"value": 1},
    ("fleet", "Dead letters"): {"value": 2},
    ("fleet", "Shortest ring"): {"value": 0.5},
    ("fleet", "Silent robots"): {"silent": 1},
    ("fleet", "Waiting, lost, unexplained"): {"waiting": 40},
    ("fleet", "Lag"): {"slowest": 120},
    ("robot", "Recording"): {"value": True},
    ("robot", "Last word"): {"value": 3},
    ("robot", "Lag"): {"value": 1.5},
    ("robot", "Holds"): {"value": 30},
    ("robot", "Waiting"): {"value": 0},
    ("robot", "Lost or unexplained"): {"value": 0},
    ("robot", "Rate of ${stream:raw}"): {"comes": 100},
    ("robot", "Ring: bytes"): {"sensor": 1e9, "media": 1e9, "small": 1e9, "log": 1e9},
    ("robot", "Ring: hours held"): {"sensor": 12, "log": 12},
    ("robot", "Spool"): {"bytes": 4096},
    ("robot", "Uplink"): {"sent": 5e5, "allowed": 1e6},
    ("robot", "Dropped, dead letters"): {"dropped": 0, "dead letters": 0},
    ("books", "Selected"): {"value": 2 * 2 * 6 * MINUTES * len(ROBOTS_HERE)},
    ("books", "Arrived"): {"value": 2 * 2 * 6 * MINUTES * len(ROBOTS_HERE) - 2 * MINUTES},
    ("books", "Waiting"): {"value": 0},
    ("books", "Refused"): {"value": 0},
    ("books", "Lost"): {"value": MINUTES},
    ("books", "Unexplained"): {"value": MINUTES},
    ("books", "Dead letters by reason"): {"letters": 2, "oldest_s": 60 * (MINUTES - 1)},
    ("books", "Dead letters over time"): {"sum": 2},
    ("books", "Relay: bytes"): {"bytes_s": 1000 * len(ROBOTS_HERE)},
    ("books", "Relay: records"): {"records_s": 2 * len(ROBOTS_HERE)},
    ("books", "Relay: held"): {"held": 1},
    ("books", "Reconciler"): {"missing": 3},
    ("events", "Events"): {"value": 6},
    ("events", "Records kept"): {"value": sum(range(30, 36))},
    ("events", "Longest"): {"value": 15},
    ("host", "Robots: CPU"): {"highest": 95, "mean": (95 + 12) / 2},
    ("host", "Robots: disk"): {"highest": 97, "mean": (97 + 41) / 2},
    ("host", "Robots: memory"): {"highest": 30, "mean": 30},
    ("host", "Robots: temperature"): {"highest": 60, "p95": 60},
}


def ask(loaded: Loaded, asked: Asked, **chosen: str) -> list[Series]:
    """Run a query over the fleet's hour."""
    filling = Filling((loaded.stop_s - 3600) * 1000, loaded.stop_s * 1000 - 1, {**CHOSEN, **chosen})
    return loaded.ask(filling.fill(asked.influxql, asked.least_interval))


def as_dicts(series: list[Series]) -> list[dict[str, Any]]:
    """Return rows by column, with their tags."""
    return [{**one.tags, **dict(zip(one.columns, row, strict=True))} for one in series for row in one.rows]


def panel_rows(loaded: Loaded, board: str, title: str, **chosen: str) -> list[dict[str, Any]]:
    """Return the rows of a panel's (last) query."""
    return as_dicts(ask(loaded, EVERY["fleetbox-" + board, title], **chosen))


@pytest.mark.parametrize("board", sorted({board for board, _ in EVERY}))
def test_every_query_returns_rows(loaded: Loaded, board: str) -> None:
    """No panel, variable or annotation of a board is refused or empty."""
    for asked in queries(boards()[board]):
        assert as_dicts(ask(loaded, asked)), (asked.place, asked.influxql)


@pytest.mark.parametrize(("board", "title"), sorted(NEWEST))
def test_panels_show_the_right_values(loaded: Loaded, board: str, title: str) -> None:
    """The newest row of each panel's first query is what the fleet told."""
    asked = next(one for one in queries(boards()["fleetbox-" + board]) if one.place == title and one.kind == "panel")
    newest = as_dicts(ask(loaded, asked))[-1]
    assert {name: newest[name] for name in NEWEST[board, title]} == pytest.approx(NEWEST[board, title])


def test_the_worst_robots_come_first_and_no_more_than_a_person_reads(loaded: Loaded) -> None:
    """Of 23 robots the 20 with the most trouble are shown, each with its own newest numbers."""
    found = panel_rows(loaded, "fleet", f"The {WORST} robots with the most trouble")
    assert len(found) == WORST
    assert found[0]["robot"] == SICK
    assert {name: found[0][name] for name in ("recording", "age_s", "lost", "dead_letters", "streams_well")} == {
        "recording": False,
        "age_s": 900,
        "lost": 5,
        "dead_letters": 2,
        "streams_well": 2,
    }
    assert [row["trouble"] for row in found] == sorted((row["trouble"] for row in found), reverse=True)


def test_the_worst_stream_is_the_slow_camera(loaded: Loaded) -> None:
    """It stands first with half its expected rate; streams without an expectation are not judged."""
    found = panel_rows(loaded, "fleet", f"The {WORST} streams furthest below what is expected")
    assert found[0] | {"time": 0} == {
        "time": 0,
        "robot": SICK,
        "site": "edge-1",
        "stream": "cam/front",
        "share": 0.5,
        "hz": 15,
        "expect_hz": 30,
    }
    assert "gps" not in {row["stream"] for row in found}


def test_the_balance_of_each_hop_closes(loaded: Loaded) -> None:
    """Sums per hop are those of the books, and nothing is left open."""
    found = {row["site"]: row for row in panel_rows(loaded, "books", "The balance of each hop")}
    assert set(found) == {"edge-1", "cloud"}
    count = MINUTES * len(ROBOTS_HERE)
    assert found["edge-1"]["recorded"] == found["edge-1"]["selected"] + found["edge-1"]["kept_on_robot"] == 20 * count
    assert found["cloud"]["recorded"] == 0
    assert [row["open"] for row in found.values()] == [0, 0]


def test_ranges_beyond_a_day_are_read_by_the_hour(loaded: Loaded) -> None:
    """Up to 25 hours panels read minutes and seconds, beyond them hours alone: nothing counts twice."""
    hour_us = (loaded.stop_s - 1800) * 1_000_000
    told = {name: 7 if name == "selected" else 0 for name in BOOKS.fields}
    books = point(BOOKS_HOURS, {"robot": "r1", "site": "edge-1", "stream": "imu", "class": "sensor"}, told, 0)
    host = dict.fromkeys(HOST_HOURS.fields, 33.0)
    lines = [books, point(HOST_HOURS, {"robot": "r1", "site": "edge-1"}, host, 0)]
    loaded.run(lambda scalars: scalars.write_lines([f"{line.rpartition(' ')[0]} {hour_us}" for line in lines]))

    def shown(board: str, title: str, hours: int) -> dict[str, Any]:
        asked = EVERY["fleetbox-" + board, title]
        filling = Filling((loaded.stop_s - hours * 3600) * 1000, loaded.stop_s * 1000, CHOSEN)
        return as_dicts(loaded.ask(filling.fill(asked.influxql, asked.least_interval)))[-1]

    assert shown("books", "Selected", 25)["value"] == NEWEST["books", "Selected"]["value"]
    assert shown("books", "Selected", 26)["value"] == 7
    assert shown("books", f"The {WORST} robots that lost most", 26 * 30)["selected"] == 7
    assert shown("host", "Robots: CPU", 25)["highest"] == 95
    assert shown("host", "Robots: CPU", 26)["highest"] == 33
    assert shown("host", f"The {WORST} robots with the fullest disks", 26)["disk"] == 33


def test_a_field_over_time_is_that_of_its_roll_ups(loaded: Loaded) -> None:
    """Least, mean and most of a point on the graph are those of its seconds."""
    first, second = panel_rows(loaded, "robot", "${stream:raw}: ${field:raw}")[:2]
    asked = loaded.ask('SELECT "ax.min", "ax.mean", "ax.max" FROM imu ORDER BY time LIMIT 600')[0].rows
    bucket = [row for row in asked if first["time"] <= row[0] < second["time"]]
    assert len(bucket) == 5  # an hour in at most 1,000 points
    assert first["least"] == min(row[1] for row in bucket)
    assert first["mean"] == pytest.approx(sum(row[2] for row in bucket) / len(bucket))
    assert first["most"] == max(row[3] for row in bucket)


def test_expected_beside_seen(loaded: Loaded) -> None:
    """The robot's table has every stream, with what is expected where something is."""
    found = {row["stream"]: row for row in panel_rows(loaded, "robot", "Streams", robot=SICK)}
    assert (found["cam/front"]["hz"], found["cam/front"]["expect_hz"], found["cam/front"]["share"]) == (15, 30, 0.5)
    assert found["gps"]["expect_hz"] is None


def test_events_by_kind_robot_and_place(loaded: Loaded) -> None:
    """Rankings count, the map has those that know where they were, the table links to a window in ms."""
    assert {row["kind"]: row["events"] for row in panel_rows(loaded, "events", "By kind")} == {
        "hard_brake": 3,
        "mark": 3,
    }
    assert {row["robot"]: row["events"] for row in panel_rows(loaded, "events", "By robot")} == {"r1": 4, SICK: 2}
    places = panel_rows(loaded, "events", "Where")
    assert sorted(row["lat"] for row in places) == pytest.approx([48.1, 48.11, 48.12])
    table = panel_rows(loaded, "events", "Every event")
    assert [row["id"] for row in table] == [f"e{number}" for number in range(6)]  # the newest first
    assert table[0]["note"] == 'brake "0"'
    assert table[0]["to_ms"] - table[0]["from_ms"] == (15 + 120) * 1000
    assert sum(row["count"] for row in panel_rows(loaded, "events", "Timeline")) == 6


def test_choosing_a_kind_a_site_or_a_robot_narrows_down(loaded: Loaded) -> None:
    """Variables reach the queries: one kind, a site that is not there, part of a robot's name."""
    assert panel_rows(loaded, "events", "Events", kind="mark")[0]["value"] == 3
    assert panel_rows(loaded, "fleet", "Robots", site="nowhere") == []
    assert panel_rows(loaded, "fleet", "Robots", robots="ick")[0]["value"] == 1


def test_several_choices_become_one_expression(loaded: Loaded) -> None:
    """Two kinds chosen are an alternative, and a dot in a name is a dot."""
    filling = Filling(0, 1, {"kind": ["mark", "hard.brake"]})
    assert filling.fill('"kind" =~ /^${kind:regex}$/') == r'"kind" =~ /^(mark|hard\.brake)$/'


def test_logs_are_the_newest_first(loaded: Loaded) -> None:
    """The tail of the log begins with the last line."""
    found = panel_rows(loaded, "robot", "Log")
    assert [(row["level"], row["text"]) for row in found][:2] == [("ERROR", "line 4"), ("INFO", "line 3")]


def test_variables_offer_what_is_there(loaded: Loaded) -> None:
    """Streams are those with numbers, not ours or an agent's; a field is told once; pictures are in the books."""

    def options(board: str, name: str) -> list[str]:
        asked = EVERY["fleetbox-" + board, name]
        return asked.options(ask(loaded, asked))

    assert options("robot", "stream") == ["imu"]
    assert options("robot", "field") == ["ax", "ay"]
    assert options("robot", "camera") == ["cam/front"]
    assert options("fleet", "site") == ["cloud", "edge-1"]
    assert options("events", "kind") == ["hard_brake", "mark"]
    assert set(options("robot", "robot")) == set(ROBOTS_HERE)


def test_finding_narrows_the_list_of_robots(loaded: Loaded) -> None:
    """What is typed into the box before the list is part of a name."""
    asked = EVERY["fleetbox-robot", "robot"]
    assert asked.options(ask(loaded, asked, find="r2")) == ["r2", "r20", "r21", "r22"]


def test_alerts_fire_for_the_sick_robot_alone(loaded: Loaded) -> None:
    """Each rule's query gives rows with the right values; only the sick robot's are bad."""
    for alert in alerts():
        found = loaded.ask(alert.influxql.replace("now()", f"{loaded.stop_s}s"))  # however long other tests took
        assert found, alert.name
        values = [({**one.tags}, one.rows[-1][1]) for one in found]
        bad = [tags for tags, value in values if (value > alert.limit if alert.bad == "gt" else value < alert.limit)]
        assert {tags["robot"] for tags in bad} == {SICK}, alert.name
        assert len(found[0].columns) == 2  # time and one number: what a rule reduces


def test_check_runs_everything_without_grafana(loaded: Loaded) -> None:
    """`dashboards check` finds nothing refused and nothing empty here, and chooses what a board would open with."""

    async def go(scalars: ScalarStore, stop_s: int) -> list[Any]:
        return await check(scalars, (stop_s - 3600) * 1000, stop_s * 1000)

    answers = loaded.run(lambda scalars: go(scalars, loaded.stop_s))
    assert len(answers) == sum(len(list(queries(board))) for board in boards().values()) + len(alerts())
    assert [one.told() for one in answers if one.fault] == []
    assert {one.asked.place for one in answers if not one.rows} == set()
    later = loaded.run(lambda scalars: go(scalars, loaded.stop_s + 3600))
    assert {alert.title for alert in alerts()} <= {one.asked.place for one in later if not one.rows}, "nothing since"
