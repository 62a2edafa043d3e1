"""`fleetbox replicate`: which records travel which hop, as tasks: plan, apply, status."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option, tier_option
from fleetbox.cli.output import emit, note, say, table
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.settings import FleetSettings, Place, Tier, find_fleet

if TYPE_CHECKING:
    from fleetbox_replication.status import PlaceStatus

PARTIAL = 3
RELAY_COUNTS = ("records", "retried", "denied", "conflicts")


@click.group()
def replicate() -> None:
    """Show, apply and watch the tasks that ship records: robot to edge to cloud."""


@replicate.command()
@fleet_option
@tier_option
@site_option
@json_option
def plan(fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool) -> None:
    """Show what `apply` would change: wanted minus actual, as the policy and the routes say."""
    from fleetbox_replication.apply import plan_fleet

    fleet = find_fleet(fleet_path)
    plans = asyncio.run(plan_fleet(fleet, chosen_places(fleet, tier, site)))
    rows = [change.row() for item in plans for change in item.changes]
    errors = {item.place: item.error for item in plans if item.error}
    if as_json:
        emit({"policy": fleet.policy.hash, "tasks": rows, "unreachable": shown_errors(errors)})
    else:
        for row in rows:
            row["differs"] = ", ".join(row["differs"]) or None
        table([row for row in rows if row["action"] != "keep"], ["action", "place", "task", "from", "to", "differs"])
        kept = sum(row["action"] == "keep" for row in rows)
        say(f"{len(rows) - kept} to change, {kept} as wanted; policy {fleet.policy.name} {fleet.policy.hash}")
        note_errors(errors)
    click.get_current_context().exit(exit_code(errors, bool(rows)))


@replicate.command()
@fleet_option
@tier_option
@site_option
@click.option("--yes", is_flag=True, help="Also remove tasks no longer wanted, with what waits in them.")
@click.option("--renew", is_flag=True, help="Write every task again: after a store's own token was replaced.")
@json_option
def apply(fleet_path: Path | None, tier: Tier | None, site: str | None, yes: bool, renew: bool, as_json: bool) -> None:
    """Create and update tasks so that they are as wanted; a second call changes nothing."""
    from fleetbox_replication.apply import apply_fleet

    fleet = find_fleet(fleet_path)
    report = asyncio.run(apply_fleet(fleet, chosen_places(fleet, tier, site), remove=yes, renew=renew))
    rows = [item.row() for item in report.done]
    held = sum(item.outcome == "held back" for item in report.done)
    if as_json:
        emit({"changed": report.changed, "tasks": rows, "unreachable": shown_errors(report.failed_places)})
    else:
        table([row for row in rows if row["outcome"] != "kept"], ["outcome", "action", "place", "task", "from", "to"])
        say(f"{report.changed} changed, {sum(item.outcome == 'kept' for item in report.done)} were as wanted")
        if held:
            note(f"{held} tasks are to be removed with what waits in them: fleetbox replicate apply --yes")
        for error in dict.fromkeys(str(item.error) for item in report.done if item.error):
            note(error)
        note_errors(report.failed_places)
    click.get_current_context().exit(report.exit_code)


@replicate.command()
@fleet_option
@tier_option
@site_option
@json_option
def status(fleet_path: Path | None, tier: Tier | None, site: str | None, as_json: bool) -> None:
    """Show per hop and class how far the destination is behind, and what the relay says about why."""
    from fleetbox_replication.status import NO_PROOF, status_of

    fleet = find_fleet(fleet_path)
    found = asyncio.run(status_of(fleet, chosen_places(fleet, tier, site), time.time_ns() // 1000))
    rows = [hop.row() for place in found for hop in place.hops]
    errors = {place.place: place.error for place in found if place.error}
    if as_json:
        relays = {place.place: place.relay or {"error": place.relay_error} for place in found}
        emit({"hops": rows, "relays": relays, "unreachable": shown_errors(errors), "note": NO_PROOF})
    else:
        _show_status(rows, found)
        note(NO_PROOF)
        note_errors(errors)
    click.get_current_context().exit(exit_code(errors, bool(rows)))


def _show_status(rows: list[dict[str, Any]], found: list[PlaceStatus]) -> None:
    for row in rows:
        row["errors"] = ", ".join(f"{code} x{error['count']}" for code, error in row["errors"].items()) or None
    columns = ["place", "to", "robot", "class", "mode", "lag_s", "waiting", "pending", "active", "errors", "error"]
    table(rows, columns, right=["lag_s", "waiting", "pending"])
    for place in found:
        if place.relay is None:
            note(f"relay of {place.place}: {place.relay_error}")
            continue
        counts = ", ".join(f"{place.relay.get(name, 0)} {name}" for name in RELAY_COUNTS)
        say(f"relay of {place.place}: {counts}; healed {sum(place.relay.get('healed', {}).values())}")
        for item in place.relay.get("refused", []):
            if item.get("active"):
                say(f"  refused {item['count']} times, {item['bucket']}: {item['status']} {item['message']}")
                say(f"    next: {item['next_step']}")


def chosen_places(fleet: FleetSettings, tier: Tier | None, site: str | None) -> list[Place]:
    """Return the places that pass records on and were chosen; raise NotFound when there is none."""
    from fleetbox_replication.apply import sources

    if site is not None:
        fleet.site_place(site)
    places = [p for p in sources(fleet) if tier in (None, p.tier) and site in (None, p.name, p.next)]
    if not places:
        raise NotFound("no hop leaves any place that was chosen", "fleetbox whoami shows the places and their next")
    return places


def shown_errors(errors: dict[str, FleetboxError]) -> dict[str, dict[str, str | None]]:
    """Return what went wrong by place, as plain values."""
    return {place: {"error": error.message, "next_step": error.next_step} for place, error in errors.items()}


def note_errors(errors: dict[str, FleetboxError]) -> None:
    """Tell people what went wrong by place."""
    for place, error in errors.items():
        note(f"{place}: {error}")


def exit_code(errors: dict[str, FleetboxError], anything: bool) -> int:
    """Return 0 without errors, 3 when something was found all the same, else the first error's own code."""
    if not errors:
        return 0
    return PARTIAL if anything else next(iter(errors.values())).exit_code
