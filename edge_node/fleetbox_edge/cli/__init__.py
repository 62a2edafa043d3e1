"""The verbs of a robot: agent, simulate, ingest, mark."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option
from fleetbox.cli.output import emit, note, say
from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR, show_duration, show_time

PARTIAL = 3
FINENESS = click.Choice(["original", "preview", "thumbnail"])
REACH = click.Choice(["robot", "edge", "cloud"])
robot_file = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.group()
def agent() -> None:
    """Run a robot's agent."""


@agent.command("run")
@click.option("--config", type=robot_file, default="robot.toml", show_default=True, help="This robot's settings.")
def agent_run(config: Path) -> int:
    """Keep the robot's rings, tasks, relay and labeler, and replay what stopped programs left; until Ctrl-C."""
    from fleetbox_edge.serving import serve

    return serve(config)


@click.command()
@click.option("--config", type=robot_file, help="The robot.toml to record with.")
@click.option("--robot", help="A robot of the fleet that `fleetbox up` made.")
@click.option("--profile", type=click.Choice(["small", "full"]), default="small", show_default=True)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="The same seed gives the same values.")
@click.option("--brake-at", type=float, metavar="S", help="Brake hard so many seconds after the start.")
@fleet_option
@json_option
def simulate(config: Path | None, robot: str | None, fleet_path: Path | None, as_json: bool, **drive: Any) -> int:
    """Record a simulated robot: pose, joints, force, health of this host, camera, text."""
    from fleetbox_edge.simulate.verb import Drive, command

    return command(config, robot, fleet_path, Drive(**drive), as_json)


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--robot", help="Whose recording it is; a stick says so itself.")
@click.option(
    "--clock", type=click.Choice(["log", "header"]), default="log", show_default=True, help="Which is the key."
)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Put on every record; repeatable.")
@site_option
@fleet_option
@json_option
def ingest(
    files: tuple[Path, ...],
    robot: str | None,
    clock: Literal["log", "header"],
    labels: tuple[str, ...],
    site: str | None,
    fleet_path: Path | None,
    as_json: bool,
) -> int:
    """Bring MCAP files into a robot's `kept` bucket, or a stick that `carry` filled into its robot's site.

    Original times are kept; a second time adds nothing.
    """
    from fleetbox.settings import find_fleet

    sticks = [path for path in files if path.is_dir()]
    if sticks and len(sticks) < len(files):
        raise InputError("files and folders at once", "ingest the files of a robot and the stick one after the other")
    if sticks:
        from fleetbox_edge.carrying.bringing_in import bring_in

        return bring_in(sticks, find_fleet(fleet_path), site, as_json)
    if robot is None:
        raise InputError("whose recording is it?", "give --robot")
    from fleetbox_edge.ingest import run

    return run(files, find_fleet(fleet_path), robot, site, clock, parse_labels(labels), as_json)


@click.command()
@click.argument("kind")
@click.option("--robot", help="Whose moment it is; not needed where there is only one.")
@click.option("--at", metavar="T", help=f"When it was [now]: {GRAMMAR}, or event:ID-10s.")
@click.option("--pre", metavar="10s", help="How much to keep before, up to 300s; default: the policy's.")
@click.option("--post", metavar="5s", help="How much to keep after, up to 120s; default: the policy's.")
@click.option("--streams", multiple=True, metavar="GLOB", help="Only these streams; repeatable.")
@click.option("--resolution", type=FINENESS, help="How fine pictures are taken; default: the policy's.")
@click.option("--to", type=REACH, help="How far it travels; default: the policy's.")
@click.option("--note", default="", help="What happened, in words.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="To find it by (severity, lat, lon); repeatable.")
@click.option("--wait", is_flag=True, help="Return when its records have arrived at the last site.")
@fleet_option
@json_option
def mark(fleet_path: Path | None, as_json: bool, labels: tuple[str, ...], **order: Any) -> int:
    """Raise an event: keep what was recorded around a moment, and ship it.

    Exits 3 when with --wait nothing of the window was left to ship.
    """
    from fleetbox.settings import find_fleet
    from fleetbox_edge.marking import MarkOrder, cut_lines, mark

    done = mark(find_fleet(fleet_path), MarkOrder(**order, labels=parse_labels(labels)), note)
    event = done.event
    for text in cut_lines(event, done.cut_us):
        note(text)
    code = PARTIAL if done.is_empty else 0
    if as_json:
        emit(done.as_dict())
        return code
    window = (
        f"{show_duration(event.time_us - event.start_us)} before, {show_duration(event.stop_us - event.time_us)} after"
    )
    fine = "" if event.resolution == "original" else f", pictures as {event.resolution}s"
    reach = "" if event.to == "cloud" else f", to the {event.to}"
    say(f"{event.id}  {event.kind} on {event.robot} at {show_time(event.time_us)}; keeps {window}{fine}{reach}")
    if event.state == "labelled":
        say(f"{sum(event.labelled.values())} records kept, {sum(done.arrived.values())} at {done.at}")
    return code
