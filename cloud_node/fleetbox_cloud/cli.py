"""The verbs of a site: run it, provision it, ask it."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option, site_option


@click.group()
def site() -> None:
    """Run an edge site or the cloud: buckets, tokens, tasks, relay, scalar loader."""


@site.command()
@fleet_option
@site_option
def run(fleet_path: Path | None, site: str | None) -> None:
    """Run everything a site needs until Ctrl-C or SIGTERM."""
    import asyncio

    from fleetbox.settings import find_fleet
    from fleetbox_cloud.site import run_site

    asyncio.run(run_site(find_fleet(fleet_path), site))


@site.command()
@fleet_option
@site_option
@click.option("--robot", "robots", multiple=True, help="A robot known only by a glob; may be given again.")
@click.option("--replace", "replaced", metavar="ROBOT", help="Make this robot's token anew; the old one ends at once.")
@json_option
def provision(
    fleet_path: Path | None, site: str | None, robots: tuple[str, ...], replaced: str | None, as_json: bool
) -> None:
    """Make the buckets and tokens that a site's robots need; print what changed."""
    import asyncio

    from fleetbox.cli.output import emit, note, say, table
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.provision_site import provision_site
    from fleetbox_cloud.state import pick_site

    fleet = find_fleet(fleet_path)
    place = pick_site(fleet, site)
    report = asyncio.run(provision_site(fleet, place, robots, replaced))
    if as_json:
        emit(report)
        return
    if not report["changes"]:
        say(f"{place.name}: nothing to change")
        return
    table(report["changes"], ["what", "name", "why"])
    for name, path in report["tokens"].items():
        note(f"token of {name}: {path}")


@site.command()
@fleet_option
@site_option
@json_option
def status(fleet_path: Path | None, site: str | None, as_json: bool) -> None:
    """Show how the site process on this machine is doing, and what InfluxDB refused."""
    from fleetbox.cli.output import emit, note, table
    from fleetbox.settings import find_fleet
    from fleetbox_cloud.state import pick_site, state_folder
    from fleetbox_cloud.status import ask_site

    fleet = find_fleet(fleet_path)
    report = ask_site(state_folder(fleet, pick_site(fleet, site).name))
    if as_json:
        emit(report)
        return
    table([{"part": name, **one} for name, one in report["parts"].items()], ["part", "state", "failures", "why"])
    loader = report["loader"]
    if loader and loader["trouble"]:
        note(f"loader: {loader['trouble']}")
    rows = [
        {"robot": robot, "what": what, "n": n}
        for robot, counts in (loader or {}).get("robots", {}).items()
        for what, n in counts.items()
    ]
    if rows:
        table(rows, ["robot", "what", "n"])


@click.group()
def tokens() -> None:
    """Make, list and replace the tokens that robots write to their site with."""
