"""A new InfluxDB is set up with the token of the file, and Grafana gets one that may only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.errors import MissingServer
from fleetbox_local.containers.influx_setup import main
from fleetbox_local.processes import InfluxProcess, ServerProcess, ask, find_server


def test_set_up_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second run changes nothing; a token that InfluxDB does not know is a clear failure."""
    try:
        find_server("influxdb")
    except MissingServer as missing:
        pytest.skip(missing.message)
    process = InfluxProcess(tmp_path / "data")
    process.start()
    try:
        ServerProcess.wait_ready(process)  # without the set-up that InfluxProcess would do itself
        (tmp_path / "token").write_text("a-token-of-ours\n")
        grafana = tmp_path / "grafana"
        grafana.mkdir()
        assert main(tmp_path / "token", grafana, process.port) == 0
        reading, password = ((grafana / name).read_text() for name in ("influx.token", "admin.password"))
        assert main(tmp_path / "token", grafana, process.port) == 0
        assert (grafana / "influx.token").read_text() == reading
        assert (grafana / "admin.password").read_text() == password
        assert (grafana / "influx.token").stat().st_mode & 0o777 == 0o640
        query = "/query?db=fleetbox&q=SHOW%20MEASUREMENTS"
        assert ask(process.port, "GET", query, token=reading).status == 200
        bucket = {"orgID": "0", "name": "x", "retentionRules": []}
        assert ask(process.port, "POST", "/api/v2/buckets", bucket, token=reading).status in (400, 401, 403, 404)
        (tmp_path / "token").write_text("another")
        (grafana / "influx.token").unlink()
        assert main(tmp_path / "token", grafana, process.port) == 1
        assert "find the organisation (401)" in capsys.readouterr().err
    finally:
        process.kill()
