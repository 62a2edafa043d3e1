"""`fleetbox status`: one line a technician can read over the phone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, say
from fleetbox.settings import FleetSettings, find_fleet

if TYPE_CHECKING:
    from fleetbox.checks import Check

WORDS = {"PASS": "OK", "WARN": "WARN", "FAIL": "FAIL"}
ORDER = ("FAIL", "WARN", "PASS")  # a subject is as bad as its worst check


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
    from fleetbox.checks import run_checks

    checks = asyncio.run(run_checks(fleet, robot))
    lines = [_Line.of(subject, checks) for subject in dict.fromkeys(check.subject for check in checks)]
    failed = any(line.verdict == "FAIL" for line in lines)
    if as_json:
        emit({"ok": not failed, "subjects": [asdict(line) for line in lines]})
        return 1 if failed else 0
    for line in lines:
        say(f"{WORDS[line.verdict]:<4} {line.subject}: {'; '.join(line.phrases) or 'in order'}")
    if failed:
        say(f"     next: fleetbox doctor{f' {robot}' if robot else ''}")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class _Line:
    """Sum up what the checks say of one robot or site."""

    subject: str
    verdict: str
    phrases: tuple[str, ...]
    next: tuple[str, ...]

    @staticmethod
    def of(subject: str, checks: Sequence[Check]) -> _Line:
        own = [check for check in checks if check.subject == subject]
        said = (check.phrase or (check.text if check.verdict != "PASS" else "") for check in own)
        phrases = tuple(phrase for phrase in said if phrase)
        steps = tuple(check.next_step for check in own if check.verdict != "PASS" and check.next_step)
        return _Line(subject, min((check.verdict for check in own), key=ORDER.index), phrases, steps)
