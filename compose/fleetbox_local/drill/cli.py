"""`fleetbox drill`: break a scratch fleet on purpose, then close its books."""

from __future__ import annotations

import click


@click.command()
def drill() -> None:
    """Break a scratch fleet on this machine on purpose, then close its books."""
