"""A real Grafana, wherever GRAFANA_URL and GRAFANA_TOKEN (role Admin) name one that tests may write to.

Grafana cannot be had from the package registries, so these are skipped elsewhere. GRAFANA_INFLUX_URL is the InfluxDB of
the tests as that Grafana reaches it; by default the same machine.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from contextlib import suppress

import pytest
from small_fleet import Loaded

from fleetbox.errors import AccessDenied, FleetboxError, NotFound
from fleetbox_dashboards.boards import BOARDS
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.changes import Wanted
from fleetbox_dashboards.datasource import document
from fleetbox_dashboards.encoding import fingerprint
from fleetbox_dashboards.filling import Filling, queries
from fleetbox_dashboards.grafana import Access, Grafana
from fleetbox_dashboards.pushing import Wish, push

pytestmark = pytest.mark.skipif(
    not (os.environ.get("GRAFANA_URL") and os.environ.get("GRAFANA_TOKEN")),
    reason="no Grafana here: set GRAFANA_URL and GRAFANA_TOKEN (role Admin) to one that tests may write to",
)


@pytest.fixture
def grafana() -> Iterator[Grafana]:
    """The Grafana that the environment names."""
    with Grafana(Access(os.environ["GRAFANA_URL"], os.environ["GRAFANA_TOKEN"])) as found:
        yield found


@pytest.fixture
def wish(grafana: Grafana, loaded: Loaded) -> Iterator[Wish]:
    """A data source for the small fleet, and a folder of the tests' own; both go afterwards, and all of ours in it."""
    uid = f"fleetbox-test-{uuid.uuid4().hex[:8]}"
    wanted = document(loaded.influx, uid, os.environ.get("GRAFANA_INFLUX_URL"))
    assert grafana.put_datasource(wanted, force=False, dry_run=False) == "create"
    yield Wish(datasource=uid, folder=uid, force=True)
    for kind, names in (("alert", [one.uid for one in grafana.alerts()]), ("board", list(boards()))):
        for name in names:
            with suppress(NotFound):  # a test that pushed nothing
                grafana.remove(kind, name)
    if folder := grafana.folder(uid, uid):
        grafana._api.folder.delete_folder(folder)
    grafana._api.datasource.delete_datasource_by_uid(uid)


def test_the_data_source_is_well_and_stays(grafana: Grafana, wish: Wish, loaded: Loaded) -> None:
    """Its health is OK, and making it again changes nothing."""
    wanted = document(loaded.influx, wish.datasource, os.environ.get("GRAFANA_INFLUX_URL"))
    assert grafana.datasource(wish.datasource) == []
    assert grafana.put_datasource(wanted, force=False, dry_run=False) == "keep"


def test_create_update_drift_and_delete(grafana: Grafana, wish: Wish) -> None:
    """What the stand-in's tests say holds for the real one."""
    calm = Wish(wish.datasource, wish.folder)
    assert {change.action for change in push(grafana, wish).changes} <= {"create", "update"}
    assert {change.action for change in push(grafana, calm).changes} == {"keep"}
    mine = next(one for one in grafana.boards(iter(["fleetbox-host"])) if one.uid == "fleetbox-host")
    edited = json.loads(json.dumps({**mine.document, "title": "Mine"}))
    body = {"dashboard": edited, "folderUid": mine.folder_uid, "message": "by hand", "overwrite": True}
    grafana._api.dashboard.update_dashboard(body)
    drift = [change for change in push(grafana, calm).changes if change.action == "drift"]
    assert [change.uid for change in drift] == ["fleetbox-host"]
    old = {**boards()["fleetbox-host"], "uid": "fleetbox-test-old", "title": "fleetbox: old"}
    grafana.save_board(
        Wanted("board", old["uid"], old["title"], old, fingerprint(old)), None, mine.folder_uid, force=True
    )
    removed = [change.uid for change in push(grafana, wish).changes if change.action == "remove"]
    assert removed == ["fleetbox-test-old"]
    assert len([one for one in grafana.boards(iter(boards())) if one.ours]) >= len(BOARDS)


def test_every_panel_through_grafana(grafana: Grafana, wish: Wish, loaded: Loaded) -> None:
    """Each query comes back with rows through /api/ds/query."""
    chosen = {"site": ".*", "kind": ".*", "robots": "", "find": "", "robot": "r1", "stream": "imu", "field": "ax"}
    start_ms, stop_ms = (loaded.stop_s - 3600) * 1000, loaded.stop_s * 1000
    for board in boards().values():
        for asked in queries(board):
            text = Filling(start_ms, stop_ms, chosen).fill(asked.influxql, asked.least_interval)
            frames = grafana.run(wish.datasource, text, start_ms, stop_ms)
            assert any(frame["data"]["values"] and frame["data"]["values"][0] for frame in frames), asked


def test_no_such_data_source(grafana: Grafana) -> None:
    """It is told, and nothing is written."""
    with pytest.raises(FleetboxError, match="no data source"):
        push(grafana, Wish(datasource="fleetbox-test-nope"))


def test_a_wrong_token_is_told() -> None:
    """It is told before anything is written."""
    access = Access(os.environ["GRAFANA_URL"], "not-a-token")
    with Grafana(access) as stranger, pytest.raises(AccessDenied, match="does not take the token"):
        push(stranger, Wish(with_alerts=False))
