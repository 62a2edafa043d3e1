"""`fleetbox record`: an episode with a task text, live."""

from __future__ import annotations

from pathlib import Path

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels
from fleetbox.cli.output import emit, note, say
from fleetbox.time import show_duration

PARTIAL = 3
_robot = click.option("--robot", help="On which; not needed where there is only one.")
_label = click.option("--label", "labels", multiple=True, metavar="K=V", help="To find it by; repeatable.")


@click.group()
def record() -> None:
    """Record an episode on a robot: from `start` until `stop`, also over a restart; one at a time."""


@record.command("start")
@click.argument("text", metavar="NOTE")
@_robot
@_label
@click.option("--name", default="", help="What to call it [the note and an id].")
@click.option("--streams", multiple=True, metavar="GLOB", help="What it shows [everything]; repeatable.")
@fleet_option
@json_option
def start(
    text: str, robot: str | None, labels: tuple[str, ...], name: str, streams: tuple[str, ...],
    fleet_path: Path | None, as_json: bool,
) -> int:  # fmt: skip
    """Begin an episode; NOTE is its task, such as "pick cup"."""
    from fleetbox.settings import find_fleet
    from fleetbox_edge.recording import RecordOrder
    from fleetbox_edge.recording import start as begin

    made = begin(find_fleet(fleet_path), RecordOrder(text, robot, name, streams, parse_labels(labels)))
    if as_json:
        emit({"episode": made.as_dict()})
    else:
        say(f"{made.name} on {made.robot}: {made.note}")
        note("end it with: fleetbox record stop --success, or --fail")
    return 0


@record.command("stop")
@click.option("--success/--fail", default=None, help="How it went.")
@_robot
@_label
@fleet_option
@json_option
def stop(
    success: bool | None, robot: str | None, labels: tuple[str, ...], fleet_path: Path | None, as_json: bool
) -> int:
    """End the episode that is being recorded."""
    from fleetbox.settings import find_fleet
    from fleetbox_edge.recording import stop as end

    done = end(find_fleet(fleet_path), robot, success, parse_labels(labels))
    if as_json:
        emit({"episodes": [one.as_dict() for one in done]})
    for one in done if not as_json else ():
        went = {True: ", a success", False: ", failed", None: ""}[one.success]
        say(f"{one.name} on {one.robot}: {show_duration(one.length_us)}{went}")
    if len(done) > 1:
        note(f"{len(done)} were open: they began while the robot's store was away; all have ended")
    return 0
