"""`fleetbox replicate dead-letters|pause|resume`: what a destination does not take, and hops that wait by order."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option, tier_option
from fleetbox.cli.output import emit, note, say, table
from fleetbox.settings import Tier, find_fleet
from fleetbox.time import show_time
from fleetbox_replication.cli.tasks import chosen_places, exit_code, note_errors, shown_errors

if TYPE_CHECKING:
    from fleetbox.blobs import TaskMode
    from fleetbox_replication.held import Held

hops_argument = click.argument("hops", metavar="[HOP]...", nargs=-1)


@click.command("dead-letters")
@fleet_option
@tier_option
@site_option
@json_option
def dead_letters(fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool) -> None:
    """List records that a destination would not take, and what it holds up right now, with the next step.

    A dead letter was let through by name so that it cannot block its stream; it stays at its source and is sent again
    within a minute of the cause's end. What is held waits in its store's own queue.
    """
    from fleetbox_replication.held import gather_held

    fleet = find_fleet(fleet_path)
    found = asyncio.run(gather_held(fleet, chosen_places(fleet, tier, site)))
    errors = {item.place: item.error for item in found if item.error}
    if as_json:
        emit({"places": [item.row() for item in found], "unreachable": shown_errors(errors)})
    else:
        _show(found)
        note_errors(errors)
    click.get_current_context().exit(exit_code(errors, len(errors) < len(found)))


@click.command()
@hops_argument
@fleet_option
@tier_option
@site_option
@json_option
def pause(hops: tuple[str, ...], fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool) -> None:
    """Let hops wait: what they select is queued in its store until they are resumed.

    HOP is a place whose hops are meant, a task's name, or a glob such as 'media-to-*'; without one, all of them.
    """
    _switch(hops, "paused", fleet_path, tier, site, as_json)


@click.command()
@hops_argument
@fleet_option
@tier_option
@site_option
@json_option
def resume(hops: tuple[str, ...], fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool) -> None:
    """Let paused hops go on with what has queued up meanwhile; HOP as for `pause`."""
    _switch(hops, "enabled", fleet_path, tier, site, as_json)


def _switch(
    hops: tuple[str, ...], mode: TaskMode, fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool
) -> None:
    from fleetbox_replication.modes import switch

    fleet = find_fleet(fleet_path)
    report = asyncio.run(switch(chosen_places(fleet, tier, site), hops, mode))
    rows = [item.row() for item in report.tasks]
    if as_json:
        emit({"changed": report.changed, "tasks": rows, "unreachable": shown_errors(report.unreachable)})
    else:
        table(rows, ["place", "task", "was", "now"])
        say(f"{report.changed} changed, {len(rows) - report.changed} were {mode} already or failed")
        for item in report.tasks:
            if item.error:
                note(f"{item.place}: {item.error}")
        note_errors(report.unreachable)
    click.get_current_context().exit(report.exit_code)


def _show(found: list[Held]) -> None:
    now_us = time.time_ns() // 1000
    rows = [row for item in found for row in _rows(item, now_us)]
    if not rows:
        say("no dead letters, nothing is refused")
        return
    columns = ["what", "place", "bucket", "entry", "status", "records", "refused", "since", "message"]
    table(rows, columns, right=["records", "refused"])
    for bucket, step in dict.fromkeys((row["bucket"], row["next"]) for row in rows):
        say(f"next for {bucket or 'everything'}: {step}")


def _rows(item: Held, now_us: int) -> list[dict[str, Any]]:
    letters = [_row("dead letter", item.place, group, group["entry"], group["letters"]) for group in item.letters]
    held = [_row("held", item.place, group, ", ".join(group["entries"]), None) for group in item.held or ()]
    return held + letters


def _row(what: str, place: str, group: Any, entry: str, records: int | None) -> dict[str, Any]:
    return {
        "what": what,
        "place": place,
        "bucket": group["bucket"],
        "entry": entry or None,
        "status": str(group["status"] or "no answer"),
        "records": records,
        "refused": group["count"],
        "since": show_time(group["since_us"]),
        "message": group["message"],
        "next": group["next_step"],
    }
