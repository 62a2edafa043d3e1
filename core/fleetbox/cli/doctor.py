"""`fleetbox doctor`: PASS, WARN and FAIL, each FAIL with the next command."""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict
from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option
from fleetbox.cli.output import emit, say
from fleetbox.settings import find_fleet


@click.command()
@click.argument("robot", required=False)
@fleet_option
@json_option
def doctor(robot: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """Check stores, streams, hops and the agent; say what to do about each failure."""
    from fleetbox.checks import ORDER, run_checks

    started = time.monotonic()
    checks = asyncio.run(run_checks(find_fleet(fleet_path), robot))
    failed = sum(check.verdict == "FAIL" for check in checks)
    if as_json:
        emit({"ok": not failed, "failed": failed, "checks": [asdict(check) for check in checks]})
        return 1 if failed else 0
    for check in sorted(checks, key=lambda check: (-ORDER.index(check.verdict), check.name, check.subject)):
        step = f"  -> {check.next_step}" if check.next_step and check.verdict != "PASS" else ""
        say(f"{check.verdict} {check.name:<8} {check.subject:<10} {check.text}{step}")
    say(f"{failed or 'no'} FAIL in {time.monotonic() - started:.1f} s")
    return 1 if failed else 0
