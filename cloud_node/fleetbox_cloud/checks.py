"""Check a site's process for `doctor`: does every part run, and what did InfluxDB refuse."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from fleetbox.checks import Check
from fleetbox.errors import Unreachable
from fleetbox.settings import FleetSettings
from fleetbox_cloud.state import state_folder
from fleetbox_cloud.status import ask_site

_EXPECTED = "refused:nan"  # sensors say NaN for "no reading": that is no fault


async def loader(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check the site processes that run on this machine; sites whose state folder is not here are skipped."""
    names = [place.name for place in (fleet.route(robot) if robot else fleet.places()) if place.tier != "robot"]
    found = []
    for name in names:
        folder = state_folder(fleet, name)
        if folder.exists():
            try:
                report = await asyncio.to_thread(ask_site, folder)
            except Unreachable as error:
                phrase = f"{name} runs no site process"
                found.append(Check("FAIL", "site", name, error.message, phrase, error.next_step))
                continue
            found += judge(name, report)
    return found


def judge(name: str, report: dict[str, Any]) -> list[Check]:
    """Judge a site's report."""
    checks = [
        Check("FAIL", "site", name, f"{part} fails: {one['why']}", f"{name} {part} fails", "fleetbox site status")
        for part, one in report["parts"].items()
        if one["state"] == "waiting"
    ]
    checks = checks or [Check("PASS", "site", name, f"{len(report['parts'])} parts run: {', '.join(report['parts'])}")]
    return checks + ([_loader(name, report["loader"])] if report["loader"] else [])


def _loader(name: str, report: dict[str, Any]) -> Check:
    if report["trouble"]:
        text = f"numbers wait for {report['influx']}: {report['trouble']}"
        return Check("FAIL", "loader", name, text, f"{name} loads no numbers", "fleetbox site status")
    total: Counter[str] = Counter()
    for counts in report["robots"].values():
        total.update(counts)
    refused = {what.split(":")[1]: n for what, n in total.items() if what.startswith("refused:") and what != _EXPECTED}
    if refused:
        shown = ", ".join(f"{n:,} {reason}" for reason, n in sorted(refused.items()))
        text = f"InfluxDB refused points for good: {shown}; {total['points']:,} loaded"
        return Check("WARN", "loader", name, text, f"{name} refused numbers", "fleetbox site status")
    text = f"{total['points']:,} points of {total['chunks']:,} chunks loaded into {report['influx']}"
    return Check("PASS", "loader", name, text)
