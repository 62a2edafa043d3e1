"""`fleetbox whoami`: which settings are in force and what they reach."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, say, table
from fleetbox.settings import find_fleet


@click.command()
@fleet_option
@json_option
def whoami(fleet_path: Path | None, as_json: bool) -> None:
    """Say which settings file is in force and which stores it reaches."""
    fleet = find_fleet(fleet_path)
    rows = [
        {"place": place.name, "tier": place.tier, "store": place.url, "next": place.next} for place in fleet.places()
    ]
    if as_json:
        emit({"fleet": fleet.fleet, "settings": str(fleet.source), "policy": fleet.policy.hash, "places": rows})
        return
    say(f"fleet {fleet.fleet}, settings {fleet.source}, policy {fleet.policy.name} {fleet.policy.hash}")
    table(rows, ["place", "tier", "store", "next"])
