"""`fleetbox status`: one line a technician can read over the phone."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, say
from fleetbox.settings import FleetSettings, find_fleet


@click.command()
@click.argument("robot", required=False)
@click.option("--watch", is_flag=True, help="Show it again every two seconds until Ctrl-C.")
@fleet_option
@json_option
def status(robot: str | None, watch: bool, fleet_path: Path | None, as_json: bool) -> int:
    """Say in one line per robot and site how it stands; exit 1 when something fails."""
    fleet = find_fleet(fleet_path)
    while True:
        code = _show(fleet, robot, as_json)
        if not watch:
            return code
        time.sleep(2)


def _show(fleet: FleetSettings, robot: str | None, as_json: bool) -> int:
    from fleetbox.checks import ORDER, run_checks

    checks = asyncio.run(run_checks(fleet, robot))
    subjects: dict[str, dict[str, object]] = {}
    for subject in dict.fromkeys(check.subject for check in checks):
        own = [check for check in checks if check.subject == subject]
        verdict = min((check.verdict for check in own), key=ORDER.index)
        phrases = [check.phrase for check in own if check.phrase]
        steps = [check.next_step for check in own if check.verdict != "PASS" and check.next_step]
        subjects[subject] = {"verdict": verdict, "phrases": phrases, "next": steps}
    failed = any(row["verdict"] == "FAIL" for row in subjects.values())
    if as_json:
        emit({"ok": not failed, "subjects": subjects})
        return 1 if failed else 0
    for subject, row in subjects.items():
        word = {"PASS": "OK  ", "WARN": "WARN", "FAIL": "FAIL"}[str(row["verdict"])]
        phrases = row["phrases"]
        say(f"{word} {subject}: {'; '.join(phrases) if isinstance(phrases, list) and phrases else 'in order'}")
    if failed:
        say(f"      next: fleetbox doctor{f' {robot}' if robot else ''}")
    return 1 if failed else 0
