"""The verbs of a site, as a person types them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from fleetbox_cloud.cli import site


def test_provision_prints_what_changed(new_store_server: Any, tmp_path: Path) -> None:
    """The first call tells every bucket and token and where the token is kept, the second that nothing changes."""
    store = new_store_server()
    (tmp_path / "t").write_text(store.token)
    fleet = tmp_path / "fleet.toml"
    fleet.write_text(
        '[[robots]]\nmatch = "r1"\nsite = "home"\n[[robots]]\nmatch = "wh-*"\nsite = "home"\n'
        f'[site.home]\nstore = "{store.url}"\ntoken = {{ file = "t" }}\n'
    )
    first = CliRunner().invoke(site, ["provision", "--fleet", str(fleet)])
    assert first.exit_code == 0
    assert "r1--sensor" in first.stdout
    kept = tmp_path / "state" / "home" / "tokens" / "r1.token"
    assert str(kept) in first.stderr
    assert kept.read_text() not in first.output
    second = CliRunner().invoke(site, ["provision", "--fleet", str(fleet)])
    assert second.stdout == "home: nothing to change\n"
    more = CliRunner().invoke(site, ["provision", "--fleet", str(fleet), "--robot", "wh-7", "--json"])
    found = json.loads(more.stdout)
    assert {change["name"] for change in found["changes"]} >= {"wh-7", "wh-7--media"}
    assert "wh-7" in found["tokens"]
