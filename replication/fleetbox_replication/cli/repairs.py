"""`fleetbox replicate verify|repair`: compare both ends of every hop now, and copy what differs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleetbox.cli.options import fleet_option, json_option, site_option, tier_option
from fleetbox.cli.output import emit, progress, say, table
from fleetbox.errors import InputError
from fleetbox.selectors import Selector
from fleetbox.settings import Tier, find_fleet
from fleetbox.time import GRAMMAR, parse_time
from fleetbox_replication.cli.tasks import chosen_places, note_errors, shown_errors

if TYPE_CHECKING:
    from fleetbox_replication.reconcile.verifying import Question, Verdict

Command = TypeVar("Command", bound=Callable[..., Any])

COLUMNS = ("place", "site", "robot", "class", "stream", "selected")
FAULTS = ("missing", "wrong", "conflicts", "stale", "too_old", "deleted")
REPAIRS = ("brought", "mended", "relabelled", "refused", "why")


def _options(command: Command) -> Command:
    """Give a verb the argument and the options that both have."""
    for option in reversed(
        (
            click.argument("selector", default="*"),
            click.option("--start", metavar="T", help=f"From then on: {GRAMMAR}."),
            click.option("--stop", metavar="T", help="Up to then, excluded."),
            click.option("--deep", is_flag=True, help="Read every record at the destination and compare its bytes."),
            fleet_option,
            tier_option,
            site_option,
            json_option,
        )
    ):
        command = option(command)
    return command


@click.command()
@_options
def verify(**given: Any) -> None:
    """Compare both ends of the hops of SELECTOR (ROBOT/STREAM, globs) record by record, and change nothing.

    Exits 3 when a record is missing, wrong, in conflict or has older labels at the destination. `too_old` and
    `deleted` are no faults: the destination keeps no more, or a person deleted it there.
    """
    _run(given, repair=False)


@click.command()
@_options
def repair(**given: Any) -> None:
    """Compare as `verify` does and copy what differs, with labels and attachments; copying asks nothing.

    Exits 3 when something could not be repaired.
    """
    _run(given, repair=True)


def _run(given: dict[str, Any], *, repair: bool) -> None:
    from fleetbox_replication.reconcile.verifying import verify

    path: Path | None = given["fleet_path"]
    tier: Tier | None = given["tier"]
    fleet, question = find_fleet(path), _question(given, repair)
    places = chosen_places(fleet, tier, given["site"])
    with progress("comparing") as advance:
        verdict = asyncio.run(verify(fleet, places, question, lambda done, where: advance(done, f"{done} {where}")))
    if given["as_json"]:
        rows = [item.row() for item in verdict.found]
        emit({"streams": rows, **_sums(verdict), "failed": shown_errors(verdict.failed)})
    else:
        _show(verdict, repair)
    click.get_current_context().exit(verdict.exit_code)


def _question(given: dict[str, Any], repair: bool) -> Question:
    from fleetbox_replication.reconcile.verifying import Question

    now_us = time.time_ns() // 1000
    question = Question(Selector.typed(given["selector"]), deep=given["deep"], repair=repair)
    start_us = parse_time(given["start"], now_us) if given["start"] else question.start_us
    stop_us = parse_time(given["stop"], now_us) if given["stop"] else question.stop_us
    if start_us >= stop_us:
        raise InputError("--start is not before --stop", "swap them, or leave one out")
    return Question(question.selector, start_us, stop_us, question.deep, repair)


def _sums(verdict: Verdict) -> dict[str, int]:
    rows = [item.row() for item in verdict.found]
    return {name: sum(row[name] for row in rows) for name in ("selected", *FAULTS, *REPAIRS[:-1], "amiss")}


def _show(verdict: Verdict, repair: bool) -> None:
    rows = [item.row() for item in verdict.found]
    differing = sorted((row for row in rows if any(row[name] for name in FAULTS)), key=lambda row: -row["amiss"])
    if differing:
        shown = [*FAULTS, *(REPAIRS if repair else ())]
        used = [name for name in shown if any(row[name] for row in differing)]
        table(differing, [*COLUMNS, *used], right=[name for name in ("selected", *used) if name != "why"])
    sums = _sums(verdict)
    done = f", {sums['brought']} brought, {sums['mended']} replaced, {sums['relabelled']} relabelled" if repair else ""
    faults = f"{sums['missing']} missing, {sums['wrong']} wrong, {sums['conflicts']} in conflict, {sums['stale']} stale"
    say(f"{sums['selected']} selected records in {len(rows)} streams: {faults}{done}")
    if sums["amiss"] and not repair:
        say("next: fleetbox replicate repair")
    note_errors(verdict.failed)
