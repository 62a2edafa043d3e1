"""`fleetbox pull`: ask robots for a past window."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, note, say
from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR

if TYPE_CHECKING:
    from fleetbox_edge.pulling import Estimate, Pulled, PullOrder

PARTIAL = 3
Value = TypeVar("Value")


@click.command()
@click.argument("selector")
@click.option("--start", metavar="T", required=True, help=f"From then on: {GRAMMAR}.")
@click.option("--stop", metavar="T", default="now", show_default=True, help="Up to then.")
@click.option("--max", "most", metavar="SIZE", default="500MB", show_default=True, help="Ask for no more than this.")
@click.option("--preview", is_flag=True, help="Only the thumbnails of pictures.")
@click.option("--rate", metavar="RATE", help="What the link does, such as '5 Mbit/s'; default: the caps on the way.")
@click.option("--note", "text", default="", help="What it is for, in words.")
@click.option("--wait", is_flag=True, help="Return when its records have arrived at the last site.")
@click.option("--yes", is_flag=True, help="Do it without being asked.")
@fleet_option
@json_option
def pull(
    selector: str, start: str, stop: str, wait: bool, yes: bool, fleet_path: Path | None, as_json: bool, **given: Any
) -> int:
    """Ask the robots of SELECTOR for what they recorded from --start to --stop, after saying how much it is.

    What a robot still has of it is labelled and shipped like an event. For a robot that does not answer, the order
    waits at its site until it does. Exits 3 when with --wait only a part of the window was left.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_edge.pulling.pulling import check_size, check_streams, estimates
    from fleetbox_edge.pulling.pulling import pull as ask

    fleet, order = find_fleet(fleet_path), _order(selector, start, stop, given)
    found = estimates(fleet, order)
    check_streams(fleet, order, found)
    answer: dict[str, Any] = {"start_us": order.start_us, "stop_us": order.stop_us, "preview": order.preview}
    answer |= _total(found) | {"robots": [one.as_dict() for one in found], "asked": None}
    _show(found, order, say if not as_json else note)
    check_size(order, found)
    robots = [one.robot for one in found if one.size.records or not one.exact]
    if not robots or not _sure(yes):
        if as_json:
            emit(answer)
        if robots:
            note("nothing was asked for; add --yes")
        return 0
    done = ask(fleet, order, robots, note, wait)
    if as_json:
        emit({**answer, "asked": [one.as_dict() for one in done]})
    return _told(done, wait, note if as_json else say)


def _order(selector: str, start: str, stop: str, given: dict[str, Any]) -> PullOrder:
    from fleetbox.selectors import Selector
    from fleetbox.settings.values import parse_rate, parse_size
    from fleetbox.time import parse_time
    from fleetbox_edge.pulling.order import PullOrder, check_order

    now_us = time.time_ns() // 1000
    order = PullOrder(
        Selector.typed(selector),
        parse_time(start, now_us),
        parse_time(stop, now_us),
        given["preview"],
        _read(parse_size, "--max", given["most"]),
        _read(parse_rate, "--rate", given["rate"]) if given["rate"] else None,
        given["text"],
    )
    return check_order(order, now_us)


def _read(parse: Callable[[str], Value], flag: str, text: str) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise InputError(f"{flag} {text!r} is not understood", str(error)) from None


def _total(found: Sequence[Estimate]) -> dict[str, Any]:
    return {
        "bytes": sum(one.size.bytes for one in found),
        "records": sum(one.size.records for one in found),
        "minutes": round(max((one.minutes for one in found), default=0.0), 2),  # robots send side by side
        "thumbnails_bytes": sum(one.thumbnails.bytes for one in found),
    }


def _show(found: Sequence[Estimate], order: PullOrder, tell: Callable[[str], None]) -> None:
    from fleetbox_edge.pulling.telling import cost, warnings

    for one in found:
        tell(cost(one))
        for text in warnings(one, order):
            note(text)


def _sure(yes: bool) -> bool:
    return yes or (sys.stdin.isatty() and sys.stderr.isatty() and click.confirm("Go on?", err=True))


def _told(done: Sequence[Pulled], wait: bool, tell: Callable[[str], None]) -> int:
    from fleetbox_edge.pulling.telling import cut_text, outcome

    code = 0
    for one in done:
        tell(outcome(one))
        if text := cut_text(one.event):
            note(text)
            code = PARTIAL if wait else code
        if wait and not sum(one.event.labelled.values()):
            code = PARTIAL
    return code
