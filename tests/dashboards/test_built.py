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
