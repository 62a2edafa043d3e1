"""Choose the episodes that a command is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option, tier_option

if TYPE_CHECKING:
    from fleetbox_query.episodes.chosen import Episodes
    from fleetbox_query.events import Where
    from fleetbox_query.fleet import Fleet

_PLACE = (tier_option, site_option, fleet_option, json_option)
names_argument = click.argument("names", nargs=-1, required=True, metavar="NAME...")


def place_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where to look and how to tell it."""
    for option in reversed(_PLACE):
        command = option(command)
    return command


def fleet_of(options: dict[str, Any]) -> Fleet:
    """Connect to the fleet that a command's options name."""
    from fleetbox_query.fleet import connect

    return connect(options["fleet_path"])


def where_of(options: dict[str, Any]) -> Where:
    """Return where a command's options say to look."""
    from fleetbox_query.events import Where

    return Where(options["tier"], options["site"])


def choose(fleet: Fleet, names: tuple[str, ...], options: dict[str, Any]) -> Episodes:
    """Return the question that names and a command's options ask."""
    return fleet.episodes(*names).at(tier=options["tier"], site=options["site"])
