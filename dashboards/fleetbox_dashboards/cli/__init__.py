"""The verbs around dashboards: build, push, check, and the data source they read."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, site_option
from fleetbox.cli.output import emit, note, progress, say, table
from fleetbox.errors import AccessDenied, InputError
from fleetbox.extras import require
from fleetbox.time import parse_duration

if TYPE_CHECKING:
    from fleetbox.settings import Influx
    from fleetbox_dashboards.changes import Change
    from fleetbox_dashboards.grafana import Grafana

PARTIAL = 3
DATASOURCE = "fleetbox"  # provisioning.UID, which must not be imported for `--help`
url_option = click.option("--url", envvar="GRAFANA_URL", show_envvar=True, help="The Grafana.")
token_option = click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A file with its token; else GRAFANA_TOKEN holds it.",
)
datasource_option = click.option(
    "--datasource", "uid", default=DATASOURCE, show_default=True, metavar="UID", help="The data source to read from."
)
force_option = click.option("--force", is_flag=True, help="Overwrite what somebody saved by hand.")
dry_option = click.option("--dry-run", is_flag=True, help="Only say what would happen.")


@click.group()
def dashboards() -> None:
    """Show the fleet in Grafana: build boards and alert rules, push them, check them."""


@dashboards.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder: boards in `dashboards`, what Grafana provisions itself from in `provisioning`.",
)
@datasource_option
@click.option("--check", "only_check", is_flag=True, help="Write nothing; exit 3 when the folder is not up to date.")
@json_option
def build(out: Path, uid: str, only_check: bool, as_json: bool) -> int:
    """Write boards, alert rules and the data source as files, for Git or for Grafana's own provisioning.

    Other files in the folder stay; boards of ours that are no more are removed.
    """
    require("dashboards")
    from fleetbox_dashboards.building import files, stale, write

    wanted = files(uid)
    done = stale(out, wanted) if only_check else write(out, wanted)
    if as_json:
        emit({"folder": str(out), "files": sorted(wanted), "changed" if not only_check else "stale": done})
    else:
        for path, what in done.items():
            say(f"{what:<9} {out / path}")
        if not done:
            say(f"{out} is up to date: {len(wanted)} files")
    if only_check and done and not as_json:
        note(f"not as built; write them: fleetbox dashboards build -o {out}")
    return PARTIAL if only_check and done else 0


@dashboards.command()
@url_option
@token_option
@datasource_option
@click.option("--folder", default="fleetbox", show_default=True, help="Where new boards go, by title or uid.")
@click.option("--alerts/--no-alerts", default=True, show_default=True, help="Alert rules too.")
@dry_option
@force_option
@json_option
def push(
    url: str | None, token_file: Path | None, uid: str, folder: str, alerts: bool, dry_run: bool, force: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Bring a Grafana's boards and alert rules up to date.

    Ours are those whose uid begins with `fleetbox-` and that carry the tag `fleetbox`; nothing else is touched. A board
    that somebody saved by hand is shown and left alone (exit 3) unless --force; Grafana keeps its earlier versions. A
    board moved to another folder stays there.
    """
    opened = _grafana(url, token_file)
    from fleetbox_dashboards.changes import DOING, LEFT
    from fleetbox_dashboards.pushing import Wish, push

    wish = Wish(uid, folder, force, dry_run, alerts)
    with opened as grafana, progress("dashboards push") as advance:
        outcome = push(grafana, wish, lambda done, change: advance(done, change.title))
    left = [change for change in outcome.changes if change.action in LEFT]
    if as_json:
        emit(
            {
                "grafana": outcome.version,
                "dry_run": dry_run,
                "changes": [change.told() for change in outcome.changes],
                "warnings": outcome.warnings,
            }
        )
    else:
        for change in outcome.changes:
            say(_line(change))
        doing = sum(change.action in DOING for change in outcome.changes)
        say(f"{doing} to do; nothing was changed (--dry-run)" if dry_run else f"{doing} changed")
    for warning in outcome.warnings:
        note(f"warning: {warning}")
    if left:
        note(f"{len(left)} left alone; overwrite what was saved by hand: fleetbox dashboards push --force")
    return PARTIAL if left else 0


@dashboards.command()
@site_option
@fleet_option
@click.option("--last", default="1h", show_default=True, metavar="DURATION", help="Over which range.")
@click.option("--robot", help="Whom the robot's board is asked about; default: the first it lists.")
@json_option
def check(site: str | None, fleet_path: Path | None, last: str, robot: str | None, as_json: bool) -> int:
    """Run every query of every board on a site's InfluxDB, without Grafana; exit 3 when one is refused.

    A panel without rows is shown: nothing came in this range, or nothing of the kind happened.
    """
    require("dashboards")
    from fleetbox.scalars import ScalarStore
    from fleetbox_dashboards.checking import Answer
    from fleetbox_dashboards.checking import check as run

    _, influx = _influx(fleet_path, site)
    stop_ms = time.time_ns() // 1_000_000

    async def asked() -> list[Answer]:
        async with ScalarStore(influx) as scalars:
            return await run(scalars, stop_ms - parse_duration(last) // 1000, stop_ms, robot)

    with progress("dashboards check"):
        answers = asyncio.run(asked())
    refused = [one for one in answers if one.fault]
    if as_json:
        emit({"influx": influx.url, "queries": [one.told() for one in answers]})
    else:
        shown = ("board", "place", "kind", "rows", "fault")
        table([one.told() for one in answers if one.fault or not one.rows], shown, right=("rows",))
        empty = sum(not one.rows for one in answers) - len(refused)
        say(f"{len(answers)} queries: {len(refused)} refused, {empty} without rows")
    return PARTIAL if refused else 0


@dashboards.command()
@url_option
@token_option
@site_option
@fleet_option
@click.option("--uid", default=DATASOURCE, show_default=True, help="Its uid and name in Grafana.")
@click.option("--influx-url", metavar="URL", help="The InfluxDB as Grafana sees it; default: as fleet.toml says.")
@dry_option
@force_option
@json_option
def datasource(
    url: str | None, token_file: Path | None, site: str | None, fleet_path: Path | None, uid: str,
    influx_url: str | None, dry_run: bool, force: bool, as_json: bool,
) -> int:  # fmt: skip
    """Make the data source for a site's InfluxDB in Grafana, and map its bucket for InfluxQL.

    The token that fleet.toml names for the InfluxDB goes into Grafana, which stores it encrypted. Grafana wants a
    token of its own with the role Admin for this; `push` needs Editor only.
    """
    opened = _grafana(url, token_file)
    from fleetbox_dashboards.datasource import document, map_bucket

    name, influx = _influx(fleet_path, site)
    mapping = "not looked at" if dry_run else asyncio.run(map_bucket(influx))
    with opened as grafana:
        grafana.version()
        action = grafana.put_datasource(document(influx, uid, influx_url), force=force, dry_run=dry_run)
        warnings = [] if dry_run or action == "drift" else grafana.datasource(uid)
    if as_json:
        emit({"site": name, "uid": uid, "action": action, "mapping": mapping, "warnings": warnings, "dry_run": dry_run})
    else:
        say(f"{action:<7} data source {uid}: InfluxDB of {name}, bucket {influx.bucket} ({mapping})")
    for warning in warnings:
        note(f"warning: {warning}")
    if action == "drift":
        note("it has other settings, or was provisioned from a file; overwrite them: --force")
    return PARTIAL if action == "drift" else 0


def _grafana(url: str | None, token_file: Path | None) -> Grafana:
    require("dashboards")
    from fleetbox.settings.secrets import Secret
    from fleetbox_dashboards.grafana import Access, Grafana

    if not url:
        raise InputError("no Grafana is named", "set GRAFANA_URL, or give --url https://grafana.example.net")
    if token_file is None and not os.environ.get("GRAFANA_TOKEN"):
        step = "set GRAFANA_TOKEN, or give --token-file; make one in Grafana: service accounts, role Editor"
        raise AccessDenied("no token for Grafana", step)
    return Grafana(Access(url, Secret(token_file, None if token_file else "GRAFANA_TOKEN").read()))


def _influx(fleet_path: Path | None, site: str | None) -> tuple[str, Influx]:
    from fleetbox.settings import find_fleet

    fleet = find_fleet(fleet_path)
    having = [name for name in fleet.site if fleet.site[name].influx]
    if site is None and len(having) != 1:
        known = ", ".join(having) or "none"
        raise InputError(f"{len(having)} sites have an InfluxDB", f"name one: --site NAME; known: {known}")
    place = fleet.site_place(site or having[0])
    if place.influx is None:
        raise InputError(f"site {place.name!r} has no InfluxDB", f"add [site.{place.name}.influx] to {fleet.source}")
    return place.name, place.influx


def _line(change: Change) -> str:
    said: dict[str, Any] = {"create": "create", "update": "update", "keep": "same", "remove": "remove"}
    text = f"{said.get(change.action, change.action):<7} {change.kind:<5} {change.uid:<26} {change.title}"
    if change.why:
        text += f" ({change.why})"
    if change.action in ("drift", "update") and change.differs:
        more = f" and {len(change.differs) - 3} more" if len(change.differs) > 3 else ""
        text += f"\n        differs: {', '.join(change.differs[:3])}{more}"
    return text
