"""`fleetbox export lerobot`: episodes as a LeRobot v3.0 dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, progress, say
from fleetbox.errors import InputError
from fleetbox_query.cli.ranges import range_options

if TYPE_CHECKING:
    from fleetbox_query.lerobot.exported import Exported

PARTIAL = 3
SHOWN = 10  # lines about what was left out; meta/fleetbox.json has them all


@click.command()
@click.argument("selector", nargs=-1)
@click.option("--map", "map_path", type=click.Path(path_type=Path, dir_okay=False), help="The map [./lerobot.toml].")
@click.option("--init", is_flag=True, help="Print a map drafted from the streams of SELECTOR; write no dataset.")
@click.option("--check", type=click.Path(path_type=Path, file_okay=False), help="Check this dataset; write none.")
@range_options
@click.option("--event", multiple=True, metavar="ID", help="This event is an episode; repeatable.")
@click.option("--events", "kind", metavar="KIND", help="Each event of this kind (a glob) between --start and --stop.")
@click.option("--pre", metavar="DURATION", help="So much before an event's moment [its own interval].")
@click.option("--post", metavar="DURATION", help="So much after it.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only records with this label; repeatable.")
@click.option("--task", metavar="TEXT", help="The task of every episode [as the map says].")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The folder to make.")
@tier_option
@site_option
@fleet_option
@json_option
def lerobot(selector: tuple[str, ...], init: bool, check: Path | None, **options: Any) -> int:
    """Write episodes as a LeRobot v3.0 dataset, made of streams as lerobot.toml says.

    SELECTOR chooses robots: one episode each between --start and --stop. With --events KIND each such event is an
    episode; event:ID names one. Frames lie at a constant rate; meta/fleetbox.json says what was repeated or left out.
    """
    if check is not None:
        return _check(check, options["as_json"])
    if init:
        return _init(selector, options)
    if options["output"] is None:
        raise InputError("no folder was named for the dataset", "give one: -o OUT")
    return _export(selector, options)


def _export(selector: tuple[str, ...], options: dict[str, Any]) -> int:
    from fleetbox_query.fleet import connect
    from fleetbox_query.lerobot.choosing import Choice, chosen
    from fleetbox_query.lerobot.exporting import export_lerobot, map_of

    map_ = map_of(options["map_path"])
    if options["task"]:
        map_ = map_.model_copy(update={"task": options["task"]})
    words = {name: options[name] for name in ("start", "stop", "event", "kind", "pre", "post", "tier", "site")}
    choice = Choice(selector, labels=parse_labels(options["labels"]), **words)
    with connect(options["fleet_path"]) as fleet, progress("export lerobot", 1.0) as advance:
        question, intervals = chosen(fleet, choice)
        done = export_lerobot(
            fleet.session, question, map_, options["output"], intervals=intervals, said=choice.said, advance=advance
        )
    return _tell(done, options["as_json"])


def _init(selector: tuple[str, ...], options: dict[str, Any]) -> int:
    from fleetbox_query.fleet import connect
    from fleetbox_query.lerobot.drafting import draft_map

    with connect(options["fleet_path"]) as fleet:
        streams = [
            one
            for text in selector or ("*",)
            for one in fleet.streams(text, tier=options["tier"], site=options["site"])
        ]
    text = draft_map(streams)
    if options["as_json"]:
        emit({"map": text})
    else:
        click.echo(text, nl=False)
    return 0


def _check(folder: Path, as_json: bool) -> int:
    from fleetbox_query.lerobot.checking import check_dataset

    faults = check_dataset(folder)
    if as_json:
        emit({"dataset": str(folder), "ok": not faults, "faults": faults})
        return 1 if faults else 0
    for fault in faults:
        say(f"FAIL {fault}")
    if not faults:
        info = json.loads((folder / "meta" / "info.json").read_text())
        say(f"PASS {folder}: {info['total_episodes']} episodes, {info['total_frames']} frames at {info['fps']} fps")
    return 1 if faults else 0


def _tell(done: Exported, as_json: bool) -> int:
    if as_json:
        emit(done.as_dict())
        return 0 if done.complete else PARTIAL
    say(f"{done.path}: {done.episodes} episodes, {done.frames} frames, {done.tasks} tasks")
    for line in done.resampling():
        note(line)
    lines = [*(f"left out: {text}" for text in done.skipped), *done.lacks]
    for line in lines[:SHOWN]:
        note(line)
    if len(lines) > SHOWN:
        note(f"and {len(lines) - SHOWN:,} more such lines; meta/fleetbox.json has them")
    return 0 if done.complete else PARTIAL
