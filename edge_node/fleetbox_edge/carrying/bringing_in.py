"""Run `fleetbox ingest DIR`: choose the site, bring in each robot's folder, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from fleetbox.cli import output
from fleetbox.errors import NotFound
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.carrying.landing import Landed, folders_on, land, size_of

EXIT_OK, EXIT_PARTIAL = 0, 3


def bring_in(sticks: Sequence[Path], fleet: FleetSettings, site: str | None = None, as_json: bool = False) -> int:
    """Bring sticks into their robots' sites and print the reports; return 3 when anything is torn or did not come."""
    folders = [folder for stick in sticks for folder in folders_on(stick)]
    reports = asyncio.run(_all(folders, fleet, site))
    if as_json:
        output.emit({"complete": all(report.complete for report in reports), "sticks": [r.as_dict() for r in reports]})
    for report in reports:
        if not as_json:
            output.say(summary(report))
        for line in explain(report):
            output.note(line)
    return EXIT_OK if all(report.complete for report in reports) else EXIT_PARTIAL


async def _all(folders: Sequence[Path], fleet: FleetSettings, site: str | None) -> list[Landed]:
    reports = []
    for folder in folders:
        with output.progress(f"ingest {folder.name}", total=size_of(folder)) as advance:
            reports.append(await land(folder, fleet, site_of(fleet, folder.name, site), lambda done: advance(done)))
    return reports


def site_of(fleet: FleetSettings, robot: str, site: str | None) -> Place:
    """Return the site asked for, else the nearest one of the robot's route, else the fleet's first."""
    if site is not None:
        return fleet.site_place(site)
    try:
        sites = [place for place in fleet.route(robot) if place.tier != "robot"]
    except NotFound:
        sites = []
    sites = sites or [*fleet.places("edge"), *fleet.places("cloud")]
    if not sites:
        raise NotFound(
            f"no site is known to bring the records of {robot} to", "give --fleet with the site's fleet.toml"
        )
    return sites[0]


def summary(report: Landed) -> str:
    """Return what came of one robot's folder in a line."""
    text = f"{report.robot} at {report.place}: {report.written:,} records written, {report.already:,} were there"
    return text + (f", {report.not_for_here:,} stay at the edge" if report.not_for_here else "")


def explain(report: Landed) -> list[str]:
    """Return what a person must know beyond the counts, each with what to do about it."""
    lines = [f"{report.robot}: not brought in: {why}" for why in report.failed]
    if report.failed_count > len(report.failed):
        lines.append(f"{report.robot}: and {report.failed_count - len(report.failed):,} more were not brought in")
    if report.link_up and report.written:
        lines.append(
            f"{report.robot}: its link is up; if it wrote here meanwhile, the two may have spoilt records\n"
            f"  next: fleetbox replicate verify --deep '{report.robot}/**'"
        )
    if report.torn:
        lines += [f"{report.robot}: {why}" for why in report.torn]
        lines.append("  next: remove the parts named from the stick and carry again: what is here is not written twice")
    elif report.unfinished:
        lines.append(f"{report.robot}: the carry was not finished\n  next: carry again with the same stick, it goes on")
    return lines
