"""The verb that takes streams home as files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, progress, say, size_text
from fleetbox.cli.verbs import Verbs
from fleetbox_query.cli.ranges import range_options

if TYPE_CHECKING:
    from fleetbox_query.exports.job import Exported

PARTIAL = 3
SHOWN = 10  # lines about what is missing; the manifest has them all
_CHOOSING = (
    click.argument("selector", nargs=-1),
    range_options,
    click.option("--event", metavar="ID", help="Around this event of its robot; SELECTOR is then STREAM[:FIELD]."),
    click.option("--pre", metavar="DURATION", help="So much before the event's moment [its own interval]."),
    click.option("--post", metavar="DURATION", help="So much after it."),
    click.option("--label", "labels", multiple=True, metavar="K=V", help="Only records with this label; repeatable."),
    click.option("--when", default="", metavar="CEL", help="Only where it holds: \"ax < -4.0 && site == 'edge-1'\"."),
    click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The file or folder to make."),
    tier_option,
    site_option,
    fleet_option,
    json_option,
)
_burn = click.option("--burn-time", is_flag=True, help="Write each picture's time (UTC) into it.")


@click.group(cls=Verbs, entries="fleetbox.export_commands")
def export() -> None:
    """Take streams home as files: whole or not at all, and going on where an interrupted export stopped.

    \b
    fleetbox export mcap 'r7/**' --last 10m -o r7.mcap          everything of ten minutes, for Foxglove
    fleetbox export mp4 r7/cam/front --start 13:20 --stop 13:30 -o front.mp4
    fleetbox export csv imu --event ID --pre 10s --post 5s -o brake.csv

    What is being made lies in OUT.partial; the same command again goes on there. OUT has a manifest that says what
    was asked, how much came, from where, and each file's hash.
    """


def _choosing(command: Callable[..., int]) -> Callable[..., int]:
    for option in reversed(_CHOOSING):
        command = option(command)
    return command


@export.command()
@_choosing
@click.option("--compression", type=click.Choice(["lz4", "zstd", "none"]), default="lz4", show_default=True)
def mcap(compression: str, **choice: Any) -> int:
    """Write one MCAP file for Foxglove: pictures, video, log and rows under their well-known schemas.

    Messages that came in as MCAP go out byte for byte, with their times in ns.
    """
    return _export("mcap", choice, {"compression": compression})


@export.command()
@_choosing
def parquet(**choice: Any) -> int:
    """Write Parquet: a folder by robot, stream and day, or one stream into one *.parquet."""
    return _export("parquet", choice, {})


@export.command()
@_choosing
def csv(**choice: Any) -> int:
    """Write CSV: a folder with files by robot, stream and day, or one stream into one *.csv."""
    return _export("csv", choice, {})


@export.command()
@_choosing
def hdf5(**choice: Any) -> int:
    """Write one HDF5 file: a group per stream with `time` and a dataset per signal."""
    return _export("hdf5", choice, {})


@export.command()
@_choosing
def safetensors(**choice: Any) -> int:
    """Write numbers as one safetensors file: a tensor per signal, another for its times."""
    return _export("safetensors", choice, {})


@export.command()
@_choosing
@click.option("--fps", type=click.FloatRange(min=0.1, max=240), help="Constant rate; default: the pictures' own times.")
@_burn
def mp4(fps: float | None, burn_time: bool, **choice: Any) -> int:
    """Write pictures as H.264 films: one stream into one *.mp4, or a folder with a film each.

    Without --fps each frame keeps its own time (variable rate). With it every frame shows the latest picture.
    """
    return _export("mp4", choice, {"fps": fps, "burn_time": burn_time})


@export.command()
@_choosing
@_burn
def png(burn_time: bool, **choice: Any) -> int:
    """Write pictures as PNG files into a folder, named by stream and time."""
    return _export("png", choice, {"burn_time": burn_time})


@export.command()
@_choosing
@_burn
def jpeg(burn_time: bool, **choice: Any) -> int:
    """Write pictures as JPEG files into a folder, as the robot made them."""
    return _export("jpeg", choice, {"burn_time": burn_time})


def _export(format_: str, given: dict[str, Any], options: dict[str, Any]) -> int:
    from fleetbox_query.exports.choosing import Choice, chosen
    from fleetbox_query.exports.exporting import export as write
    from fleetbox_query.exports.job import Options
    from fleetbox_query.fleet import connect
    from fleetbox_query.nothing import why_nothing
    from fleetbox_query.selection import Selection

    out, fleet_path, as_json = given.pop("output"), given.pop("fleet_path"), given.pop("as_json")
    labels = parse_labels(given.pop("labels"))
    choice = Choice(selectors=given.pop("selector"), labels=labels, **given)
    with connect(fleet_path) as fleet, progress(f"export {format_}", 1.0) as advance:
        selection = Selection(fleet.session, chosen(fleet, choice))
        done = write(selection, format_, out, Options(**options), said=choice.said, advance=advance)
        if not done.tally.total and done.complete:
            note(why_nothing(fleet.session, selection.question))
    return _tell(done, as_json)


def _tell(done: Exported, as_json: bool) -> int:
    if as_json:
        emit(done.as_dict())
    else:
        say(f"{done.path}: {done.tally.total:,} items of {len(done.tally.items)} streams, {size_text(done.size_bytes)}")
        lines = done.lines()
        for line in lines[:SHOWN]:
            note(line)
        if len(lines) > SHOWN:
            note(f"and {len(lines) - SHOWN:,} more such lines; the manifest has them")
        for line in [*done.told, *done.rounded]:
            note(line)
    return 0 if done.complete else PARTIAL
