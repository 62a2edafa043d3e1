"""The options that say from when to when, spelt and explained once for every verb."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR, parse_duration

Command = TypeVar("Command", bound=Callable[..., Any])
_LAST = "fleetbox_query.last"  # where it waits in click's context for --start


def range_options(command: Command) -> Command:
    """Add --start, --stop and --last; the command gets `start` and `stop`, where --last 1h is a start of now-1h."""
    for option in reversed(_RANGE):
        command = option(command)
    return command


def _keep(context: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        parse_duration(value)  # raises InputError, before anything is asked
    context.meta[_LAST] = value


def _start(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if (last := context.meta.get(_LAST)) is None:
        return value
    if value is not None:
        raise InputError("--last beside --start", "use one of them")
    return f"now-{last.strip()}"


def _stop(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    if value is not None and context.meta.get(_LAST) is not None:
        raise InputError("--last beside --stop", "use --start and --stop")
    return value


_RANGE = (
    click.option(
        "--start", metavar="T", callback=_start, help=f"From then on [all]: {GRAMMAR}, or event:ID-10s."
    ),
    click.option("--stop", metavar="T", callback=_stop, help="Up to then, excluded [now]."),
    click.option(
        "--last", metavar="1h", callback=_keep, is_eager=True, expose_value=False,
        help="Instead of both: the last 10m, 2h, 30d, ...",
    ),
)  # fmt: skip
