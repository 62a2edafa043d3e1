"""The verbs that get servers and run a whole fleet on this machine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli import output
from fleetbox.cli.options import fleet_option, json_option
from fleetbox.errors import MissingServer

if TYPE_CHECKING:
    from fleetbox_local.programs import Program
    from fleetbox_local.running import Running

NAMES = ("reductstore", "influxdb")
HERE = Path("fleetbox-up")  # beside the user's own files, easy to find and to delete
DEMO_HERE = Path("fleetbox-demo")
DEMO_S = 30.0  # long enough for 10 s before the brake and 5 s after it


def _folder_option(default: Path, text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    kind = click.Path(path_type=Path, file_okay=False)
    return click.option("--dir", "directory", type=kind, default=default, show_default=True, help=text)


@click.group()
def servers() -> None:
    """Find or build the real servers, ReductStore and InfluxDB."""


@servers.command()
@click.option("--influx", is_flag=True, help="InfluxDB too; ReductStore is always installed.")
@click.option("--path", "source", metavar="PATH|URL", help="Take ReductStore from this file or URL.")
@click.option("--influx-path", "influx_source", metavar="PATH|URL", help="Take InfluxDB from this file or URL.")
def install(influx: bool, source: str | None, influx_source: str | None) -> None:
    """Find the servers, or build them once into your cache folder.

    In this order: --path or FLEETBOX_REDUCTSTORE, FLEETBOX_INFLUXD; PATH; your cache folder; a running Docker engine
    (official images); from source with cargo and go.
    """
    from fleetbox_local.install import Installer

    installer = Installer(output.note)
    wanted = [("reductstore", source), *([("influxdb", influx_source)] if influx or influx_source else [])]
    output.table(
        [_row(installer.install(name, origin)) for name, origin in wanted], ["server", "version", "from", "at"]
    )


@servers.command()
@json_option
def where(as_json: bool) -> None:
    """Say where each server comes from and its version; exit 1 when ReductStore is missing."""
    from fleetbox_local.programs import RELEASES, find_server

    rows: list[dict[str, str | None]] = []
    missing = None
    for name in NAMES:
        try:
            rows.append(_row(find_server(name)))
        except MissingServer as error:
            rows.append({"server": RELEASES[name].title, "version": None, "from": None, "at": None})
            missing = error if name == "reductstore" else missing
    if as_json:
        output.emit({"servers": rows})
    else:
        output.table(rows, ["server", "version", "from", "at"])
    if missing:
        raise missing


@click.command()
@_folder_option(HERE, "Where the fleet's settings, secrets and data live.")
@click.option("--robots", default=None, help="How many, or their names: 3, or r1,forklift-7.  [default: 2]")
@click.option("--influx/--no-influx", default=None, help="With InfluxDB.  [default: when one is found]")
@click.option("--detach", is_flag=True, help="Return when all is up; `down` ends it.")
@json_option
def up(directory: Path, robots: str | None, influx: bool | None, detach: bool, as_json: bool) -> int:
    """Run robots, an edge site and a cloud as processes here.

    Writes DIR/fleet.toml and the rest of the settings on each start; DIR/policy.toml is yours to edit. Ctrl-C ends
    everything and keeps the data.
    """
    from fleetbox.extras import require
    from fleetbox_local import running

    require("robot", "site")
    wish = running.Wish(directory.absolute(), robots, influx)
    already = running.state_of(wish.directory)
    if already is not None:
        output.note(f"already running in {directory}")
        return _show_up(already, as_json)
    if detach:
        return _show_up(running.start_detached(wish), as_json)
    return running.run_here(wish, lambda state: _show_up(state, as_json), output.note)


@click.command()
@_folder_option(HERE, "The folder `up` was given.")
@json_option
def down(directory: Path, as_json: bool) -> None:
    """End what `up` started, and nothing else; the data stays."""
    from fleetbox_local import running

    ended = running.stop(directory.absolute())
    if as_json:
        output.emit({"stopped": [{"name": name, "how": how} for name, how in ended]})
    elif not ended:
        output.say(f"nothing runs in {directory}")
    else:
        output.table([{"name": name, "how": how} for name, how in ended], ["name", "how"])
        output.say(f"stopped; the data stays in {directory}")


@click.command()
@_folder_option(DEMO_HERE, "Where the demo's fleet and files are kept.")
@click.option("--seconds", type=click.FloatRange(min=5), default=DEMO_S, show_default=True, help="How long to record.")
@click.option("--influx/--no-influx", default=None, help="With InfluxDB.  [default: when one is found]")
@click.option("--running", is_flag=True, help="Play on the fleet that runs already, here or in containers.")
@fleet_option
@json_option
def demo(
    directory: Path, seconds: float, influx: bool | None, running: bool, fleet_path: Path | None, as_json: bool
) -> int:
    """Show the main job on real servers: record, keep the moment around a brake, ask the cloud for it."""
    from fleetbox.extras import require

    require("robot", "site", "query")
    from fleetbox_local.demo import run, run_on

    if not running:
        return run(directory.absolute(), seconds, as_json, influx)
    from fleetbox.settings import find_fleet

    return run_on(find_fleet(fleet_path).source, seconds, as_json)


def _row(program: Program) -> dict[str, str | None]:
    release = program.release
    return {"server": release.title, "version": program.version, "from": program.origin, "at": program.where}


def _show_up(state: Running, as_json: bool) -> int:
    if as_json:
        output.emit({"fleet": str(state.fleet_file), "places": state.places})
        return 0
    output.table(state.places, ["place", "tier", "store", "relay", "data"])
    if state.influx:
        output.say(f"influx   {state.influx}")
    output.say(f"\nnext:  export FLEETBOX_FLEET={state.fleet_file}\n       fleetbox simulate --robot {state.robots[0]}")
    output.say(f"       fleetbox status\n       fleetbox down --dir {state.directory}")
    return 0
