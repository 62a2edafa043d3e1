"""The verb that shows streams as they come in."""

from __future__ import annotations

import click


@click.command()
def live() -> int:
    """Show streams in Foxglove as they come in."""
    return 0
