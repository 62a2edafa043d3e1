"""The commands of `fleetbox policy` that look before anything is sent: lint, plan."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, note, say, size_text, table

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
