"""The data source: made once, mapped for InfluxQL, drift shown, a missing bucket told."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from conftest import InfluxServer
from grafana_stand_in import TOKEN, StandIn
from small_fleet import Loaded

from fleetbox.errors import AccessDenied, InputError, NotFound
from fleetbox.settings import Influx
from fleetbox_dashboards.cli import dashboards
from fleetbox_dashboards.datasource import map_bucket


def fleet_of(influx: Influx, folder: Path) -> Path:
    """Write a fleet.toml whose site `edge` has this InfluxDB."""
    (folder / "influx.token").write_text(influx.token)
    (folder / "fleet.toml").write_text(
        '[[robots]]\nmatch = "r*"\nsite = "edge"\n'
        '[site.edge]\nstore = "http://127.0.0.1:9"\ntoken = { file = "influx.token" }\n'
        f'[site.edge.influx]\nurl = "{influx.url}"\norg = "{influx.org}"\nbucket = "{influx.bucket}"\n'
        'token = { file = "influx.token" }\n'
    )
    return folder / "fleet.toml"


def run(stand_in: StandIn, fleet: Path, *words: str) -> Result:
    """Run `dashboards datasource`."""
    env = {"GRAFANA_URL": stand_in.url, "GRAFANA_TOKEN": TOKEN, "FLEETBOX_FLEET": str(fleet)}
    return CliRunner().invoke(dashboards, ["datasource", "--json", *words], env=env, standalone_mode=False)


def test_it_is_made_once(stand_in: StandIn, loaded: Loaded, tmp_path: Path) -> None:
    """Created, then kept; the token is in Grafana's secure part only."""
    fleet = fleet_of(loaded.influx, tmp_path)
    assert json.loads(run(stand_in, fleet).stdout)["action"] == "create"
    source = stand_in.sources["fleetbox"]
    assert source["jsonData"]["version"] == "InfluxQL"
    assert source["jsonData"]["dbName"] == loaded.influx.bucket
    assert loaded.influx.token in source["secureJsonData"]["httpHeaderValue1"]
    assert loaded.influx.token not in json.dumps(source["jsonData"])
    assert json.loads(run(stand_in, fleet).stdout)["action"] == "keep"


def test_other_settings_are_shown_and_kept_unless_forced(stand_in: StandIn, loaded: Loaded, tmp_path: Path) -> None:
    """Exit 3 and nothing written; --force writes."""
    fleet = fleet_of(loaded.influx, tmp_path)
    stand_in.add_source(url="http://elsewhere:8086", access="proxy")
    result = run(stand_in, fleet)
    assert (result.return_value, json.loads(result.stdout)["action"]) == (3, "drift")
    assert stand_in.written == []
    assert json.loads(run(stand_in, fleet, "--force").stdout)["action"] == "update"
    assert stand_in.sources["fleetbox"]["url"] == loaded.influx.url


def test_a_dry_run_writes_nothing(stand_in: StandIn, loaded: Loaded, tmp_path: Path) -> None:
    """Neither in Grafana nor in InfluxDB."""
    told = json.loads(run(stand_in, fleet_of(loaded.influx, tmp_path), "--dry-run").stdout)
    assert (told["action"], told["mapping"]) == ("create", "not looked at")
    assert stand_in.written == []


def test_a_missing_bucket_is_told(loaded: Loaded, influx_server: InfluxServer) -> None:
    """Before Grafana gets a source that answers nothing."""
    gone = replace(loaded.influx, bucket=f"gone-{uuid.uuid4().hex[:8]}")
    with pytest.raises(NotFound, match="has no bucket"):
        asyncio.run(map_bucket(gone))
    assert asyncio.run(map_bucket(loaded.influx)) == "ready"


def test_a_check_on_a_missing_bucket_says_so(loaded: Loaded, tmp_path: Path) -> None:
    """It is no empty board."""
    fleet = fleet_of(replace(loaded.influx, bucket=f"gone-{uuid.uuid4().hex[:8]}"), tmp_path)
    result = CliRunner().invoke(dashboards, ["check", "--fleet", str(fleet)])
    assert isinstance(result.exception, NotFound)
    assert "gone-" in f"{result.exception} {result.exception.next_step}"


def test_a_check_with_a_wrong_token_says_so(loaded: Loaded, tmp_path: Path) -> None:
    """With where the token stands."""
    fleet = fleet_of(replace(loaded.influx, token="wrong"), tmp_path)
    assert isinstance(CliRunner().invoke(dashboards, ["check", "--fleet", str(fleet)]).exception, AccessDenied)


def test_a_site_without_influxdb_is_told(stand_in: StandIn, tmp_path: Path) -> None:
    """With what to add."""
    (tmp_path / "token").write_text("x")
    (tmp_path / "fleet.toml").write_text('[site.edge]\nstore = "http://127.0.0.1:9"\ntoken = { file = "token" }\n')
    result = run(stand_in, tmp_path / "fleet.toml", "--site", "edge")
    assert isinstance(result.exception, InputError)
    assert "[site.edge.influx]" in str(result.exception)
