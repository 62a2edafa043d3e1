"""`fleetbox audit`: the books of every robot and stream."""

from __future__ import annotations

import click


@click.command()
def audit() -> None:
    """Close the books: what was recorded, selected, has arrived, waits, is refused or lost."""
