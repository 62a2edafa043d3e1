"""`fleetbox config`: print sample settings and check real ones."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from fleetbox.cli.options import json_option
from fleetbox.cli.output import emit, say
from fleetbox.settings import find_fleet, load_policy, load_robot
from fleetbox.settings.files import read_toml
from fleetbox.settings.lerobot import parse_map

SAMPLES = ("fleet", "robot", "policy", "lerobot")


@click.group()
def config() -> None:
    """Print sample settings, check your own."""


@config.command()
@click.argument("which", type=click.Choice(SAMPLES), default="fleet")
def sample(which: str) -> None:
    """Print a commented sample: fleet, robot, policy or lerobot."""
    click.echo(files("fleetbox").joinpath("samples", f"{which}.toml").read_text(encoding="utf-8"), nl=False)


@config.command()
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@json_option
def check(path: Path, as_json: bool) -> None:
    """Check a fleet.toml, robot.toml, policy.toml or lerobot.toml; every fault is shown at once."""
    tables = read_toml(path)
    if "robot" in tables:
        kind, name = "robot", load_robot(path).robot
    elif "site" in tables or "robots" in tables:
        kind, name = "fleet", find_fleet(path).fleet
    elif "features" in tables:
        kind, name = "lerobot", f"{len(parse_map(tables, path).features)} features"
    else:
        kind, name = "policy", load_policy(path).hash
    if as_json:
        emit({"file": str(path), "kind": kind, "name": name, "ok": True})
    else:
        say(f"PASS {path} is a usable {kind} file ({name})")
