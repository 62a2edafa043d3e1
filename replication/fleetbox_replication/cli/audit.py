"""`fleetbox audit`: the books of every robot and stream."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option, tier_option
from fleetbox.cli.output import emit, note, say, table
from fleetbox.errors import InputError
from fleetbox.selectors import Selector
from fleetbox.settings import Tier, find_fleet
from fleetbox.time import GRAMMAR, parse_duration, parse_time, show_time

if TYPE_CHECKING:
    from fleetbox_replication.audit import Books, Row

LAST = "24h"  # a day: what a shift hands over to the next
WORST = 5  # rows; what is worse than that is told by the sums
COLUMNS = ("robot", "stream", "to", "selected", "arrived", "waiting", "refused", "lost", "unexplained", "why")
NUMBERS = ("recorded", "selected", "kept", "arrived", "waiting", "refused", "lost", "unexplained")


@click.command()
@click.argument("selector", default="*")
@click.option("--last", metavar="DURATION", help=f"Only the last 2h, 7d, ...  [default: {LAST}]")
@click.option("--start", metavar="T", help=f"From then on: {GRAMMAR}.")
@click.option("--stop", metavar="T", help="Up to then, excluded; whole minutes count.")
@click.option("--all", "everything", is_flag=True, help=f"Show every stream, not the {WORST} worst ones.")
@tier_option
@site_option
@fleet_option
@json_option
def audit(
    selector: str,
    last: str | None,
    start: str | None,
    stop: str | None,
    everything: bool,
    tier: Tier | None,
    site: str | None,
    fleet_path: Path | None,
    as_json: bool,
) -> int:
    """Close the books of SELECTOR (ROBOT/STREAM, globs): what was recorded, selected, has arrived, waits or is lost.

    recorded = selected + kept on robot; selected = arrived + waiting + refused + lost + unexplained, in records. Exits
    3 when anything is lost or unexplained. With --tier or --site only that place is asked.
    """
    from fleetbox_replication import audit as books

    now_us = time.time_ns() // 1000
    start_us, stop_us = _range(last, start, stop, now_us)
    fleet, chosen = find_fleet(fleet_path), Selector.typed(selector)
    with _no_collector():
        work = books.audit(
            fleet, chosen, start_us, stop_us, now_us, tier=tier, site=site, processes=os.cpu_count() or 1
        )
        found = asyncio.run(work)
    if as_json:
        emit(found.as_dict())
    else:
        _show(found, everything)
    for one in found.unreached:
        note(f"{one.place} could not be read: {one.error}")
    return found.exit_code


@contextmanager
def _no_collector() -> Iterator[None]:
    """Read without looking for garbage: millions of small values that all live to the end would take twice as long."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _range(last: str | None, start: str | None, stop: str | None, now_us: int) -> tuple[int, int]:
    if last is not None and start is not None:
        raise InputError("--last and --start both say where to begin", "give one of them")
    stop_us = parse_time(stop, now_us) if stop else now_us
    start_us = parse_time(start, now_us) if start else max(0, stop_us - parse_duration(last or LAST))
    if start is None and start_us >= stop_us:
        raise InputError("--last must be longer than 0s", f"leave it out for the last {LAST}, or give 10min, 2h, 7d")
    if start_us >= stop_us:
        raise InputError("--start lies behind --stop", "swap them")
    return start_us, stop_us


def _show(books: Books, everything: bool) -> None:
    from fleetbox_replication.audit import telling

    shown = books.robots if everything else books.robots[:WORST]
    for robot in shown:
        say(telling.summary(books, robot))
    if len(books.robots) > 1:
        left = len(books.robots) - len(shown)
        say(telling.total(books) + (f"; {left} more robots with --all" if left else ""))
    rows = books.rows if everything else [row for row in books.rows if any(row.rank[:3])][:WORST]
    if rows:
        columns = (*COLUMNS[:3], "recorded", "kept", *COLUMNS[3:]) if everything else COLUMNS
        table([_row(row) for row in rows], columns, right=NUMBERS)
    more = sum(any(row.rank[:3]) for row in books.rows) - len(rows)
    if more > 0:
        say(f"{more} more streams with trouble: --all")
    for step in telling.next_steps(books):
        say(f"next: {step}")
    say(f"from {show_time(books.start_us)} to {show_time(books.stop_us)}")
    for line in telling.reach(books):
        say(line)


def _row(row: Row) -> dict[str, Any]:
    from fleetbox_replication.audit import telling

    return {
        "robot": row.robot,
        "stream": row.stream,
        "to": row.hop or None,
        "recorded": row.recorded,
        "kept": row.kept_on_robot,
        "selected": row.selected,
        "arrived": row.arrived,
        "waiting": row.waiting,
        "refused": sum(row.refused.values()),
        "lost": sum(row.lost.values()),
        "unexplained": row.unexplained,
        "why": telling.trouble(row) or None,
    }
