"""The verb that shows streams again."""

from __future__ import annotations

import click


@click.command()
def replay() -> int:
    """Show streams in Foxglove again."""
    return 0
