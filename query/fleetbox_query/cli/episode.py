"""`fleetbox episode`: named views of what robots recorded, made, changed and pinned without touching a record."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import parse_labels
from fleetbox.cli.output import emit, note, say, table
from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.cli import episode_changing
from fleetbox_query.cli.episode_choosing import choose, fleet_of, place_options, where_of
from fleetbox_query.cli.episode_telling import PARTIAL, tell_made, tell_unreached
from fleetbox_query.cli.ranges import range_options
from fleetbox_query.episodes.showing import COLUMNS, lost_lines, revision_row, row_of, shown_lines, standing_dict

if TYPE_CHECKING:
    from fleetbox.episodes import Episode
    from fleetbox_query.episodes.chosen import Episodes
    from fleetbox_query.fleet import Fleet


@click.group()
def episode() -> None:
    """Named views of what robots recorded: look at them, change them, keep them; NAME may be a glob, an id, a note."""


@episode.command("new")
@click.argument("name")
@click.argument("selector", nargs=-1)
@click.option("--robot", help="Whose; not needed where SELECTOR names one robot.")
@range_options
@click.option("--events", "kind", metavar="KIND", help="Instead: one episode NAME/000000 on per event of this kind.")
@click.option("--note", default="", help="The task, in words.")
@click.option("--success/--fail", default=None, help="How it went.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="To find it by; repeatable.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Frames a second it is meant for.")
@click.option("--robot-type", default="", help="What kind of robot it is, for LeRobot.")
@place_options
def new(name: str, selector: tuple[str, ...], **options: Any) -> int:
    """Make an episode NAME of the streams that SELECTOR (ROBOT/STREAM[:FIELD]) chooses between --start and --stop."""
    with fleet_of(options) as fleet:
        if options["kind"]:
            made = _from_events(fleet, name, selector, options)
        else:
            robot, streams = _robot_of(selector, options["robot"])
            if not options["start"]:
                raise InputError("from when on?", "give --start, or --events KIND")
            words = {key: options[key] for key in ("note", "success", "fps", "robot_type")}
            made = [
                fleet.new_episode(
                    name, robot, options["start"], options["stop"] or "now", streams=streams,
                    labels=parse_labels(options["labels"]), **words,
                )
            ]  # fmt: skip
            _note_absent(fleet, robot, streams)
    return tell_made(made, options["as_json"])


@episode.command("ls")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--robot", "robots", multiple=True, default=("*",), help="Only of these robots (glob); repeatable.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only with this label; repeatable.")
@click.option("--where", "when", metavar="CEL", help='Only where it holds: "success && seconds > 2".')
@click.option("--last", metavar="DURATION", help="Only those begun in the last 30d, 2h, ...")
@click.option("--dropped", is_flag=True, help="Those that were dropped.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows [1,000 on a terminal, else all].")
@place_options
def ls(names: tuple[str, ...], as_json: bool, limit: int | None, **options: Any) -> int:
    """List episodes, with the day on which one that is not pinned begins to lose data to the rings."""
    import sys

    from fleetbox_query.episodes.horizon import standings

    with fleet_of(options) as fleet:
        found = _filtered(fleet, names, options).find()
        stand = fleet.session.run(standings(fleet.session, found.episodes, where_of(options)))
    most = limit or (1_000 if sys.stdout.isatty() else len(found.episodes))
    shown = found.episodes[:most]
    if as_json:
        said = [{**one.as_dict(), **standing_dict(stand[one.id])} for one in shown]
        emit({"episodes": said, "found": len(found.episodes), "unreachable": list(map(str, found.unreached))})
    elif shown:
        table([row_of(one, stand[one.id]) for one in shown], COLUMNS, right=("length", "version"))
        if len(shown) < len(found.episodes):
            note(f"{len(shown):,} of {len(found.episodes):,} episodes; --limit N shows more")
    else:
        note("no such episodes; make one: fleetbox episode new, or record one: fleetbox record start")
    lost = [one for one in found.episodes if not stand[one.id].complete]
    if lost and not as_json:
        note(f"{len(lost)} of them have lost data already: fleetbox episode show NAME")
    return tell_unreached(found.unreached)


@episode.command("show")
@click.argument("name")
@place_options
def show(name: str, as_json: bool, **options: Any) -> int:
    """Show one episode, its versions, and what is lost of it."""
    from fleetbox_query.episodes.horizon import standings

    with fleet_of(options) as fleet:
        found = fleet.episodes(name).at(tier=options["tier"], site=options["site"]).find()
        one = _only(found.episodes, name)
        stand = fleet.session.run(standings(fleet.session, [one], where_of(options)))[one.id]
        history = found.history(one)
    if as_json:
        past = [{"version": each.version, "at_us": each.at_us, "by": each.by, "did": each.did} for each in history]
        said = {**one.as_dict(), **standing_dict(stand), "history": past}
        emit({"episode": said, "unreachable": list(map(str, found.unreached))})
        return tell_unreached(found.unreached)
    say(f"{one.name}: {one.note or 'no note'}, of {one.robot}, {one.state}, version {one.version} ({one.digest})")
    for start, stop in one.intervals:
        say(f"from {iso_time(start)} to {iso_time(stop) if one.state != 'open' else 'now'}")
    for text in shown_lines(one):
        say(text)
    table([revision_row(each) for each in history], ("version", "when", "did", "by", "what"))
    if one.revisions > one.version:
        note("two people changed it at once: all of their changes count, in order of time")
    for text in lost_lines(one, stand):
        note(text)
    say(f"next: fleetbox query episode:{one.name}, fleetbox export mcap episode:{one.name} -o OUT")
    return tell_unreached(found.unreached) or (0 if stand.complete else PARTIAL)


for _verb in (
    episode_changing.label, episode_changing.split, episode_changing.merge, episode_changing.drop,
    episode_changing.restore, episode_changing.features, episode_changing.pin, episode_changing.unpin,
):  # fmt: skip
    episode.add_command(_verb)


def _filtered(fleet: Fleet, names: tuple[str, ...], options: dict[str, Any]) -> Episodes:
    from dataclasses import replace

    chosen = choose(fleet, names, options).robots(*options["robots"])
    if options["labels"] or options["when"]:
        chosen = chosen.where(options["when"], **parse_labels(options["labels"]))
    if options["last"]:
        chosen = chosen.last(options["last"])
    return replace(chosen, question=replace(chosen.question, dropped=options["dropped"]))


def _from_events(fleet: Fleet, name: str, selector: tuple[str, ...], options: dict[str, Any]) -> list[Episode]:
    chosen = fleet.events(options["kind"]).at(tier=options["tier"], site=options["site"])
    if options["robot"]:
        chosen = chosen.robots(options["robot"])
    chosen = chosen.between(options["start"], options["stop"])
    return chosen.episodes(name, *selector, note=options["note"] or None).list()


def _robot_of(selectors: tuple[str, ...], robot: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the robot that selectors name, and their streams."""
    from fleetbox.selectors import Selector, is_glob

    parsed = [Selector.typed(text) for text in selectors]
    robots = {one.robot for one in parsed} or ({robot} if robot else set())
    if robot:
        robots.discard("*")
        robots.add(robot)
    if len(robots) != 1 or is_glob(name := robots.pop()):
        raise InputError("an episode is of one robot", "name it: 'r1/imu' 'r1/cam/*', or --robot r1")
    streams = tuple(one.stream + (f":{one.field}" if one.field else "") for one in parsed)
    return name, streams or ("**",)


def _note_absent(fleet: Fleet, robot: str, streams: tuple[str, ...]) -> None:
    """Say which of an episode's streams its robot has nowhere: it may come yet, or it was mistyped."""
    from fleetbox.selectors import Selector
    from fleetbox_query.absent import instead

    found = list(fleet.streams(robot, all=True))
    shown = {(one.robot, one.stream) for one in found if one.cls != "meta"}
    for selector in (Selector.parse(f"{robot}/{text}") for text in streams):
        if not any(selector.matches(one.robot, one.stream) for one in found):
            note(f"no stream matches {selector} so far: {instead([selector], shown)}")


def _only(found: Sequence[Episode], name: str) -> Episode:
    if len(found) != 1:
        shown = ", ".join(one.id for one in found[-5:])
        raise InputError(f"{len(found)} episodes are meant by {name!r}", f"name one: {shown}")
    return found[0]
