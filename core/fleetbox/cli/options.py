"""Options that several verbs share, so that they are spelt and explained once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from fleetbox.errors import InputError

Command = TypeVar("Command", bound=Callable[..., Any])

fleet_option = click.option(
    "--fleet",
    "fleet_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The fleet.toml (or robot.toml) to use; default: FLEETBOX_FLEET, ./fleet.toml, /etc/fleetbox/robot.toml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object.")
tier_option = click.option("--tier", type=click.Choice(["robot", "edge", "cloud"]), help="Which tier to ask.")
site_option = click.option("--site", help="Which site to ask, by name.")


def parse_labels(pairs: tuple[str, ...]) -> dict[str, str]:
    """Return labels from repeated `--label name=value`; raise InputError on anything else."""
    labels = {}
    for pair in pairs:
        name, mark, value = pair.partition("=")
        if not mark or not name or not value:
            raise InputError(f"--label {pair!r} is not NAME=VALUE", "write it like --label site=edge-1")
        labels[name] = value
    return labels
