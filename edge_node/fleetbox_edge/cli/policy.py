"""The commands of `fleetbox policy` that look and change nothing: lint, plan, dry-run, why."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option
from fleetbox.cli.output import emit, note, progress, say, size_text, table
from fleetbox.time import GRAMMAR

policy_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("lint")
@click.argument("file", type=policy_file)
@click.option("--robot", help="Hold it against the streams this robot has recorded, too.")
@fleet_option
@json_option
def lint(file: Path, robot: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """Find what cannot be meant so: filters that never match, unguarded labels, rules and names nobody uses."""
    from fleetbox_edge.policy_verbs import linted

    done = linted(file, robot, fleet_path)
    if as_json:
        emit(done.as_dict())
    else:
        for finding in done.findings:
            say(str(finding))
        say(f"{file}: {done.errors} errors, {done.warnings} warnings" if done.findings else f"{file}: nothing found")
    return 1 if done.errors else 0


@click.command("plan")
@click.argument("file", type=policy_file)
@click.option("--robot", help="For the streams this robot has recorded, with bytes a day.")
@fleet_option
@json_option
def plan(file: Path, robot: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """Show what is recorded, kept and shipped of each stream, why, and what differs from the policy in force."""
    from fleetbox_edge.policy_verbs import planned

    done = planned(file, robot, fleet_path)
    if as_json:
        emit(done.as_dict())
        return 0
    note(f"policy {done.policy.version} {done.policy.name} ({done.policy.hash}); in force: {done.in_force}")
    rows = [
        {**row.as_dict(), "a day": "-" if row.bytes_per_day is None else size_text(row.bytes_per_day)}
        for row in done.streams
    ]
    table(rows, ["stream", "rule", "recorded", "ships", "to", "a day", "small", "kept"], right=["a day"])
    for row in done.streams:
        for word, text in row.was.items():
            say(f"changes  {row.stream}: {word}: {text} -> {getattr(row, word)}")
    for line in done.lines():
        say(line)
    return 0


@click.command("dry-run")
@click.argument("file", type=policy_file)
@click.option("--robot", required=True, help="Whose records to try it on: its own store, else its site's.")
@click.option("--start", metavar="T", help=f"From when: {GRAMMAR}.")
@click.option("--stop", metavar="T", help="Until when [now].")
@click.option("--last", metavar="24h", help="Instead of --start: how long before --stop it begins [24h].")
@click.option("--against", multiple=True, metavar="KIND", help="Marks of these kinds count for recall [all]; or a,b.")
@site_option
@fleet_option
@json_option
def dry_run(fleet_path: Path | None, as_json: bool, **order: Any) -> int:
    """Try a policy on what a robot recorded: its events, bytes per stream, and the marked moments it would meet."""
    from fleetbox_edge.dry_run.verb import DryRunOrder, tried

    with progress("trying", total=1.0) as advance:
        done = tried(fleet_path, DryRunOrder(**order), time.time_ns() // 1000, advance)
    if as_json:
        emit(done.as_dict())
        return 0
    table(done.stream_rows(), ["stream", "recorded", "always", "events", "selected"], right=["recorded", "selected"])
    for line in done.lines():
        say(line)
    return 0


@click.command("why")
@click.argument("selector", metavar="ROBOT/STREAM")
@click.option("--at", required=True, metavar="T", help=f"When: {GRAMMAR}, or event:ID.")
@fleet_option
@json_option
def why(selector: str, at: str, fleet_path: Path | None, as_json: bool) -> int:
    """Say why a record was kept, or was not: its labels, the events around it, the policy and its rule."""
    from fleetbox.settings import find_fleet
    from fleetbox_edge.why import why as ask_why

    answer = ask_why(find_fleet(fleet_path), selector, at)
    if as_json:
        emit(answer.as_dict())
        return 0
    for line in answer.lines():
        say(line)
    return 0
