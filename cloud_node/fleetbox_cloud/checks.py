"""Check a site's process for `doctor`: does every part run, what did InfluxDB refuse, what did it lose."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from fleetbox.checks import Check
from fleetbox.errors import Unreachable
from fleetbox.settings import FleetSettings
from fleetbox.time import show_time
from fleetbox_cloud.comparison import NO_CHUNK, UNEXPLAINED
from fleetbox_cloud.state import state_folder
from fleetbox_cloud.status import ask_site

TOLD_US = 86_400_000_000  # µs; who looks each morning learns of it
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
    loader = report["loader"]
    if not loader:
        return checks
    return [*checks, _loader(name, loader), *_numbers(name, loader), *_renewed(name, report.get("renewed"))]


def _renewed(name: str, renewed: dict[str, Any] | None) -> list[Check]:
    """Say for a day that InfluxDB had lost what it was fed, and what is being fed again."""
    if renewed is None or (renewed["at_us"] < time.time_ns() // 1000 - TOLD_US and not renewed["behind"]):
        return []
    bucket, when = renewed["bucket"], show_time(renewed["at_us"])
    text = f"InfluxDB's bucket {bucket} was found removed or an older copy, {when}; "
    if renewed["behind"]:
        text += f"being fed again: {', '.join(renewed['behind'])}"
        return [Check("WARN", "renewed", name, text, f"{name} feeds InfluxDB again", "fleetbox site status")]
    text += "all that the store holds was fed again; how robots, relay and site stood before is in no store"
    return [Check("PASS", "renewed", name, text)]


def _loader(name: str, report: dict[str, Any]) -> Check:
    checks = report.get("checks") or {}
    trouble = report["trouble"] or (checks.get("trouble") if checks.get("away") else None)
    if trouble:
        text = f"numbers wait for {report['influx']}: {trouble}"
        return Check("FAIL", "loader", name, text, f"{name} loads no numbers", "fleetbox site status")
    total: Counter[str] = Counter()
    for counts in report["robots"].values():
        total.update(counts)
    refused = {what.split(":")[1]: n for what, n in total.items() if what.startswith("refused:") and what != _EXPECTED}
    if refused:
        shown = ", ".join(f"{n:,} {reason}" for reason, n in sorted(refused.items()))
        text = f"InfluxDB refused points for good: {shown}{_worst(report)}; {total['points']:,} loaded"
        step = next((one["next_step"] for one in report.get("refused", []) if one["reason"] in refused), None)
        return Check("WARN", "loader", name, text, f"{name} refused numbers", step or "fleetbox site status")
    text = f"{total['points']:,} points of {total['chunks']:,} chunks loaded into {report['influx']}"
    return Check("PASS", "loader", name, text)


def _worst(report: dict[str, Any]) -> str:
    """Name the stream with the most refusals."""
    for one in report.get("refused", []):
        if f"refused:{one['reason']}" != _EXPECTED:
            return f" (most: {one['robot']}/{one['stream']} {one['reason']})"
    return ""


def _numbers(name: str, report: dict[str, Any]) -> list[Check]:
    """Judge whether InfluxDB still holds what it was given; nothing to judge before the first comparison."""
    checks = report.get("checks") or {}
    if checks.get("trouble"):
        if checks["away"]:
            return []  # said already
        text = f"InfluxDB was not compared with the chunks: {checks['trouble']}"
        return [Check("WARN", "numbers", name, text, f"{name} does not compare numbers", "fleetbox site status")]
    short: Counter[str] = Counter()
    for row in report.get("short", []):
        short[row["reason"]] += row["n"]
    if short[UNEXPLAINED]:
        where = _where(report, UNEXPLAINED)
        text = f"InfluxDB lacks {short[UNEXPLAINED]:,} values although they were written again{where}"
        step = "who deletes points there? see InfluxDB's log, then fleetbox site status"
        return [Check("FAIL", "numbers", name, text, f"{name} lost numbers", step)]
    if short[NO_CHUNK]:
        text = f"InfluxDB lost {short[NO_CHUNK]:,} values whose chunks {name} has let go{_where(report, NO_CHUNK)}"
        step = "restore them from a backup of InfluxDB, or ask the next site: its loader has its own"
        return [Check("WARN", "numbers", name, text, f"{name} lost numbers", step)]
    if "hour" not in checks.get("done", {}):
        return []
    repaired = sum(counts.get("repaired", 0) for counts in report["robots"].values())
    text = f"InfluxDB holds what it was given; {repaired:,} values had to be put back so far"
    return [Check("PASS", "numbers", name, text)]


def _where(report: dict[str, Any], reason: str) -> str:
    worst = next(row for row in report["short"] if row["reason"] == reason)
    return f" (most: {worst['robot']}/{worst['stream']}, from {show_time(worst['first_us'])})"
