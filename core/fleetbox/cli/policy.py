"""`fleetbox policy`: what is kept and shipped, and bringing it to robots; each part brings its own commands."""

from __future__ import annotations

import click

from fleetbox.cli.verbs import Verbs


@click.group(cls=Verbs, entries="fleetbox.policy_commands")
def policy() -> None:
    """Say what is kept and shipped, try it on what was recorded, send it over the air."""
