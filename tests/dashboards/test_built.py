"""The boards as files: up to date, whole, and readable by any Grafana."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from fleetbox_dashboards.alerts import alerts
from fleetbox_dashboards.boards import BOARDS, PREFIX, TAG
from fleetbox_dashboards.building import boards, files, stale, write
from fleetbox_dashboards.filling import Filling, queries

BUILT = Path(__file__).parents[2] / "dashboards" / "built"
CORE_PANELS = {"bargauge", "geomap", "stat", "table", "text", "timeseries"}  # in every Grafana, no plugin to install


def panels() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each panel that shows numbers, with the uid of its board."""
    for uid, board in boards().items():
        yield from ((uid, panel) for panel in board["panels"] if panel["type"] != "text")


def test_the_files_checked_in_are_up_to_date() -> None:
    """What is checked in is what would be built; else: fleetbox dashboards build -o dashboards/built."""
    assert stale(BUILT, files()) == {}


def test_building_twice_gives_the_same() -> None:
    """Two builds are equal to the byte, so that Git shows what a person changed and nothing else."""
    assert files() == files()


@pytest.mark.parametrize("uid", [PREFIX + board().name for board in BOARDS])
def test_each_panel_is_whole(uid: str) -> None:
    """Every panel has a description, a unit, thresholds and words for an empty range, and needs no plugin."""
    for board, panel in panels():
        if board != uid:
            continue
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith("."), panel["title"]
        assert defaults["unit"], panel["title"]
        assert defaults["noValue"], panel["title"]
        assert defaults["thresholds"]["steps"][0]["value"] is None, panel["title"]
        assert panel["type"] in CORE_PANELS
        assert panel["targets"], panel["title"]


def test_cells_without_a_value_do_not_hold_the_words_of_an_empty_range() -> None:
    """Grafana writes a panel's `noValue` into every empty cell of a table; each column has its own."""
    for uid, panel in panels():
        if panel["type"] == "table":
            for override in panel["fieldConfig"]["overrides"]:
                told = {one["id"]: one["value"] for one in override["properties"]}
                assert told.get("custom.hidden") or len(told["noValue"]) == 1, (uid, panel["title"], override)


def test_true_and_false_are_mapped_to_words() -> None:
    """Grafana heeds no unit of a boolean: it would write true and false."""
    mapped = 0
    for uid, panel in panels():
        config = panel["fieldConfig"]
        columns = [{one["id"]: one["value"] for one in each["properties"]} for each in config["overrides"]]
        for told in (config["defaults"], *columns):
            if str(told.get("unit")).startswith("bool"):
                words = told["mappings"][0]["options"]
                assert {name: words[name]["text"] for name in words} == {"true": "Yes", "false": "No"}, uid
                mapped += 1
    assert mapped == 2


def test_a_number_that_is_not_there_is_not_green() -> None:
    """Where no robot reports nothing is well, and where none records all is wrong."""
    found = {}
    for uid, panel in panels():
        if panel["type"] == "stat":
            last = panel["fieldConfig"]["defaults"]["mappings"][-1]
            assert (last["type"], last["options"]["match"]) == ("special", "null+nan"), (uid, panel["title"])
            found[uid, panel["title"]] = last["options"]["result"]["color"]
    assert {title for title, colour in found.items() if colour != "text"} == {("fleetbox-fleet", "Recording")}
    assert found["fleetbox-fleet", "Recording"] == "red"


def test_graphs_and_bars_begin_at_zero() -> None:
    """Bars and rates would mislead on a cut axis; a graph of a sensor's own values is free."""
    for uid, panel in panels():
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "timeseries" and not panel.get("repeat"):
            assert defaults["custom"]["axisSoftMin"] == 0, (uid, panel["title"])
        if panel["type"] == "bargauge" or defaults["unit"] == "percent":
            assert defaults["min"] == 0, (uid, panel["title"])


def test_what_is_bad_has_the_same_colour_on_every_board() -> None:
    """Lost is red wherever it is a line; a palette would give it the next colour, often green."""
    colours: dict[str, set[str]] = {}
    for _, panel in panels():
        for override in panel["fieldConfig"]["overrides"] if panel["type"] == "timeseries" else ():
            for one in override["properties"]:
                if one["id"] == "color":
                    colours.setdefault(override["matcher"]["options"], set()).add(one["value"]["fixedColor"])
    assert colours["lost"] == {"red"}
    assert colours["waiting"] == {"yellow"}
    assert all(len(one) == 1 for one in colours.values())


def test_panels_do_not_overlap() -> None:
    """Each cell of a board's grid belongs to one panel, and nothing sticks out to the right."""
    for uid, board in boards().items():
        taken: set[tuple[int, int]] = set()
        for panel in board["panels"]:
            at = panel["gridPos"]
            cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
            assert not taken & cells, (uid, panel["title"])
            assert at["x"] + at["w"] <= 24, (uid, panel["title"])
            taken |= cells


def test_boards_are_ours_and_stable() -> None:
    """Each has the prefix and the tag by which a push knows it, and panels with numbers of their own."""
    for uid, board in boards().items():
        assert uid.startswith(PREFIX)
        assert TAG in board["tags"]
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)
        assert len(uid) <= 40  # what Grafana allows


def test_queries_are_influxql_and_name_how_variables_are_written() -> None:
    """Nothing stays unfilled once the variables have a value: each use says how it is to be written."""
    chosen = dict.fromkeys(("site", "kind", "robots", "find", "robot", "stream", "field", "camera", "at"), "x")
    for board in boards().values():
        for asked in queries(board):
            text = Filling(0, 3_600_000, chosen).fill(asked.influxql)
            assert not re.search(r"\$[\w{]", text), text
            assert text.startswith(("SELECT ", "SHOW ")), text
            assert "|>" not in text


def test_another_data_source_goes_everywhere() -> None:
    """`--datasource` is what boards open with, and what each alert asks."""
    wanted = files("other")
    assert all('"value": "other"' in text for path, text in wanted.items() if path.startswith("dashboards/"))
    rules = json.loads(wanted["provisioning/alerting/fleetbox.json"])["groups"][0]["rules"]
    assert {rule["data"][0]["datasourceUid"] for rule in rules} == {"other"}


def test_alert_files_hold_nothing_that_grafana_would_fill_in() -> None:
    """A `$` in a provisioned rule is taken for an environment variable; none is there."""
    assert "$" not in files()["provisioning/alerting/fleetbox.json"]
    assert {alert.name for alert in alerts()} >= {"robot-silent", "hours-held", "lost", "dead-letters", "below-expect"}


def test_write_keeps_what_others_put_there(tmp_path: Path) -> None:
    """A person's board stays; one of ours that is built no more goes; a second run changes nothing."""
    wanted = files()
    (tmp_path / "dashboards").mkdir()
    (tmp_path / "dashboards" / "mine.json").write_text("{}")
    (tmp_path / "dashboards" / "fleetbox-old.json").write_text("{}")
    done = write(tmp_path, wanted)
    assert done["dashboards/fleetbox-old.json"] == "removed"
    assert set(done.values()) == {"written", "removed"}
    assert (tmp_path / "dashboards" / "mine.json").exists()
    assert write(tmp_path, wanted) == {}
    (tmp_path / "dashboards" / "fleetbox-fleet.json").write_text("{}")
    assert stale(tmp_path, wanted) == {"dashboards/fleetbox-fleet.json": "differs"}
