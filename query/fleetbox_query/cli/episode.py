"""`fleetbox episode`: named views of what robots recorded, made, changed and pinned without touching a record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, progress, say, size_text, table
from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR, iso_time, show_duration

if TYPE_CHECKING:
    from fleetbox.episodes import Episode
    from fleetbox_query.episodes.chosen import Episodes
    from fleetbox_query.episodes.horizon import Standing
    from fleetbox_query.episodes.pinning import Pinned
    from fleetbox_query.fleet import Fleet
    from fleetbox_query.inventory import Unreached

PARTIAL = 3
SHOWN = 20  # episodes or lines in a preview
COLUMNS = ("name", "robot", "start", "length", "note", "success", "labels", "version", "state", "loses data")
_PLACE = (tier_option, site_option, fleet_option, json_option)
_names = click.argument("names", nargs=-1, required=True, metavar="NAME...")
_yes = click.option("--yes", is_flag=True, help="Do it; without, only say what would be done.")


def _place(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_PLACE):
        command = option(command)
    return command


@click.group()
def episode() -> None:
    """Named views of what robots recorded: look at them, change them, keep them; NAME may be a glob, an id, a note."""


@episode.command("new")
@click.argument("name")
@click.argument("selector", nargs=-1)
@click.option("--robot", help="Whose; not needed where SELECTOR names one robot.")
@click.option("--start", metavar="T", help=f"From then on: {GRAMMAR}, or event:ID-10s.")
@click.option("--stop", metavar="T", help="Up to then, excluded [now].")
@click.option("--events", "kind", metavar="KIND", help="Instead: one episode NAME/000000 on per event of this kind.")
@click.option("--last", metavar="DURATION", help="With --events: those of the last 30d, 2h, ...")
@click.option("--note", default="", help="The task, in words.")
@click.option("--success/--fail", default=None, help="How it went.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="To find it by; repeatable.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True), help="Frames a second it is meant for.")
@click.option("--robot-type", default="", help="What kind of robot it is, for LeRobot.")
@_place
def new(name: str, selector: tuple[str, ...], **options: Any) -> int:
    """Make an episode NAME of the streams that SELECTOR (ROBOT/STREAM[:FIELD]) chooses between --start and --stop."""
    with _fleet(options) as fleet:
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
    return _made(made, options["as_json"])


@episode.command("ls")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@click.option("--robot", "robots", multiple=True, default=("*",), help="Only of these robots (glob); repeatable.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only with this label; repeatable.")
@click.option("--where", "when", metavar="CEL", help='Only where it holds: "success && seconds > 2".')
@click.option("--last", metavar="DURATION", help="Only those begun in the last 30d, 2h, ...")
@click.option("--dropped", is_flag=True, help="Those that were dropped.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many rows [1,000 on a terminal, else all].")
@_place
def ls(names: tuple[str, ...], as_json: bool, limit: int | None, **options: Any) -> int:
    """List episodes, with the day on which one that is not pinned begins to lose data to the rings."""
    import sys

    from fleetbox_query.episodes.horizon import standings

    with _fleet(options) as fleet:
        found = _filtered(fleet, names, options).find()
        stand = fleet.session.run(standings(fleet.session, found.episodes, _where(options)))
    most = limit or (1_000 if sys.stdout.isatty() else len(found.episodes))
    shown = found.episodes[:most]
    if as_json:
        said = [{**one.as_dict(), **_standing_dict(stand[one.id])} for one in shown]
        emit({"episodes": said, "found": len(found.episodes), "unreachable": list(map(str, found.unreached))})
    elif shown:
        table([_row(one, stand[one.id]) for one in shown], COLUMNS, right=("length", "version"))
        if len(shown) < len(found.episodes):
            note(f"{len(shown):,} of {len(found.episodes):,} episodes; --limit N shows more")
    else:
        note("no such episodes; make one: fleetbox episode new, or record one: fleetbox record start")
    lost = [one for one in found.episodes if not stand[one.id].complete]
    if lost and not as_json:
        note(f"{len(lost)} of them have lost data already: fleetbox episode show NAME")
    return _unreached(found.unreached)


@episode.command("show")
@click.argument("name")
@_place
def show(name: str, as_json: bool, **options: Any) -> int:
    """Show one episode, its versions, and what is lost of it."""
    from fleetbox_query.episodes.horizon import standings

    with _fleet(options) as fleet:
        found = fleet.episodes(name).at(tier=options["tier"], site=options["site"]).find()
        one = _only(found.episodes, name)
        stand = fleet.session.run(standings(fleet.session, [one], _where(options)))[one.id]
        history = found.history(one)
    if as_json:
        past = [{"version": each.version, "at_us": each.at_us, "by": each.by, "did": each.did} for each in history]
        said = {**one.as_dict(), **_standing_dict(stand), "history": past}
        emit({"episode": said, "unreachable": list(map(str, found.unreached))})
        return _unreached(found.unreached)
    say(f"{one.name}: {one.note or 'no note'}, of {one.robot}, {one.state}, version {one.version} ({one.digest})")
    for start, stop in one.intervals:
        say(f"from {iso_time(start)} to {iso_time(stop) if one.state != 'open' else 'now'}")
    for text in _more_lines(one):
        say(text)
    table(
        [
            {"version": each.version, "when": iso_time(each.at_us), "did": each.did, "by": each.by, "what": _what(each)}
            for each in history
        ],
        ("version", "when", "did", "by", "what"),
    )
    if one.revisions > one.version:
        note("two people changed it at once: all of their changes count, in order of time")
    for text in _lost_lines(one, stand):
        note(text)
    say(f"next: fleetbox query episode:{one.name}, fleetbox export mcap episode:{one.name} -o OUT")
    return _unreached(found.unreached) or (0 if stand.complete else PARTIAL)


@episode.command("label")
@_names
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Give this label; K= takes it away; repeatable.")
@click.option("--note", help="The task, in words.")
@click.option("--success/--fail", default=None, help="How it went.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True))
@click.option("--robot-type")
@_place
def label(names: tuple[str, ...], labels: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Give episodes labels, a note, a result; each change is a version."""
    taken = {pair[:-1]: None for pair in labels if pair.endswith("=")}
    given = parse_labels(tuple(pair for pair in labels if not pair.endswith("=")))
    words = {key: options[key] for key in ("note", "success", "fps", "robot_type")}
    with _fleet(options) as fleet:
        done = _chosen(fleet, names, options).label({**given, **taken}, **words)
    return _changed(done.revisions, "labelled", as_json, done.at)


@episode.command("split")
@_names
@click.option("--into", "parts", multiple=True, metavar="NAME=0.8", help="A part: a fraction, or indexes 0,3,7.")
@click.option("--at", "times", multiple=True, metavar="T", help="Instead: cut one episode at this moment; repeatable.")
@_place
def split(names: tuple[str, ...], parts: tuple[str, ...], times: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Make a set of episodes of each part, in order of names; the episodes themselves stay as they are.

    Fractions add up to at most 1, the last part takes the remainder: --into train=0.8 --into val=0.2.
    """
    if bool(parts) == bool(times):
        raise InputError("give parts, or moments to cut at", "--into train=0.8 --into val=0.2, or --at T")
    with _fleet(options) as fleet, _telling("episode split") as tell:
        chosen = _chosen(fleet, names, options)
        if times:
            made = {names[0]: chosen.cut(*times).list()}
        else:
            made = {name: some.list() for name, some in chosen.split(_parts(parts), tell=tell).items()}
    if as_json:
        emit({"parts": {name: [one.as_dict() for one in some] for name, some in made.items()}})
    else:
        for name, some in made.items():
            say(f"{name}/*: {len(some):,} episodes")
    return 0


@episode.command("merge")
@_names
@click.option("--into", "name", required=True, metavar="NAME", help="The set, or with --joined the episode, to make.")
@click.option("--joined", is_flag=True, help="Make one episode of all their intervals (of one robot).")
@_place
def merge(names: tuple[str, ...], name: str, joined: bool, as_json: bool, **options: Any) -> int:
    """Make one set of episodes, in the order given; they must have the same fps, robot type and features."""
    with _fleet(options) as fleet, _telling("episode merge") as tell:
        chosen = [_chosen(fleet, (one,), options) for one in names]
        made = [_chosen(fleet, names, options).join(name)] if joined else chosen[0].merge(
            name, *chosen[1:], tell=tell
        ).list()  # fmt: skip
    return _made(made, as_json)


@episode.command("drop")
@_names
@_yes
@_place
def drop(names: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Hide episodes; no record is touched, and NAME@VERSION still shows one. `restore` brings them back."""
    with _fleet(options) as fleet:
        chosen = _chosen(fleet, names, options)
        if not yes:
            return _preview([one.name for one in chosen.list()], "would be dropped", as_json)
        done = chosen.drop()
    return _changed(done.revisions, "dropped", as_json, done.at)


@episode.command("restore")
@_names
@_place
def restore(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Bring dropped episodes back."""
    with _fleet(options) as fleet:
        done = _chosen(fleet, names, options).restore()
    return _changed(done.revisions, "brought back", as_json, done.at)


@episode.command("features")
@_names
@click.option("--add", "added", multiple=True, metavar="STREAM:NAME=EXPR", help="A field computed from that stream's.")
@click.option("--remove", "removed", multiple=True, metavar="STREAM[:FIELD]", help="Take it out of the view.")
@click.option("--bring-back", "back", multiple=True, metavar="STREAM[:FIELD]", help="Put a removed one back.")
@_place
def features(
    names: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...], back: tuple[str, ...], as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Show the features of episodes, or change them: --add 'odom:speed=sqrt(vx*vx + vy*vy)' --remove cam/back."""
    with _fleet(options) as fleet:
        chosen = _chosen(fleet, names, options)
        for text in added:
            name, mark, expression = text.partition("=")
            if not mark:
                raise InputError(f"--add {text!r} is not STREAM:NAME=EXPR", "--add 'odom:speed=hypot(vx, vy)'")
            chosen.add_feature(name.strip(), expression.strip())
        for text in removed:
            chosen.remove_feature(text)
        for text in back:
            chosen.bring_back(text)
        found = {one.name: (one, chosen.features()[one.id]) for one in chosen.list()}
    if as_json:
        emit({"features": {
            name: {"has": list(has), "computed": dict(one.computed), "removed": list(one.removed)}
            for name, (one, has) in found.items()
        }})  # fmt: skip
        return 0
    for name, (one, has) in list(found.items())[:SHOWN]:
        made = [f"{key} = {text}" for key, text in one.computed.items()]
        say(f"{name}: {', '.join([*has, *made]) or 'nothing'}")
        if one.removed:
            say(f"  removed: {', '.join(one.removed)}")
    return 0


@episode.command("pin")
@_names
@_place
def pin(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Copy what episodes show into `kept`, where no ring takes it; at the last site that holds them, or --site.

    Exits 3, with what could be unpinned, when `kept` has no room, and when a record could not be copied.
    """
    with _fleet(options) as fleet, _telling("episode pin") as tell:
        told = fleet.episodes(*names).pin(tier=options["tier"], site=options["site"], tell=tell)
    return _pinned(told, "copied", as_json)


@episode.command("unpin")
@_names
@_yes
@_place
def unpin(names: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Take the pins' copies out of `kept` again, but for those that another pinned episode shows."""
    with _fleet(options) as fleet:
        chosen = _chosen(fleet, names, options)
        if not yes:
            lines = [f"{one.name}: {size_text(int(one.pinned.get('bytes', 0)))}" for one in chosen.list() if one.pinned]
            return _preview(lines, "would be unpinned", as_json)
        told = chosen.unpin()
    return _pinned(told, "freed", as_json)


# -- inside --------------------------------------------------------------------------------------------------------


def _fleet(options: dict[str, Any]) -> Fleet:
    from fleetbox_query.fleet import connect

    return connect(options["fleet_path"])


def _where(options: dict[str, Any]) -> Any:
    from fleetbox_query.events import Where

    return Where(options["tier"], options["site"])


def _chosen(fleet: Fleet, names: tuple[str, ...], options: dict[str, Any]) -> Episodes:
    return fleet.episodes(*names).at(tier=options["tier"], site=options["site"])


def _filtered(fleet: Fleet, names: tuple[str, ...], options: dict[str, Any]) -> Episodes:
    from dataclasses import replace

    chosen = _chosen(fleet, names, options).robots(*options["robots"])
    if options["labels"] or options["when"]:
        chosen = chosen.where(options["when"], **parse_labels(options["labels"]))
    if options["last"]:
        chosen = chosen.last(options["last"])
    return replace(chosen, question=replace(chosen.question, dropped=options["dropped"]))


def _from_events(fleet: Fleet, name: str, selector: tuple[str, ...], options: dict[str, Any]) -> list[Episode]:
    chosen = fleet.events(options["kind"]).at(tier=options["tier"], site=options["site"])
    if options["robot"]:
        chosen = chosen.robots(options["robot"])
    if options["last"]:
        chosen = chosen.last(options["last"])
    elif options["start"] or options["stop"]:
        chosen = chosen.between(options["start"], options["stop"])
    return chosen.episodes(name, *selector, note=options["note"] or None).list()


def _robot_of(selectors: tuple[str, ...], robot: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the robot that selectors name, and their streams."""
    from fleetbox.selectors import Selector, is_glob

    parsed = [Selector.parse(text) for text in selectors]
    robots = {one.robot for one in parsed} or ({robot} if robot else set())
    if robot:
        robots.discard("*")
        robots.add(robot)
    if len(robots) != 1 or is_glob(name := robots.pop()):
        raise InputError("an episode is of one robot", "name it: 'r1/imu' 'r1/cam/*', or --robot r1")
    streams = tuple(one.stream + (f":{one.field}" if one.field else "") for one in parsed)
    return name, streams or ("**",)


def _only(found: Sequence[Episode], name: str) -> Episode:
    if len(found) != 1:
        shown = ", ".join(one.id for one in found[-5:])
        raise InputError(f"{len(found)} episodes are meant by {name!r}", f"name one: {shown}")
    return found[0]


def _parts(texts: tuple[str, ...]) -> dict[str, float | Sequence[int]]:
    parts: dict[str, float | Sequence[int]] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            is_list = "," in value or (value.isdecimal() and value != "1")
            parts[name] = [int(at) for at in value.split(",")] if is_list else float(value)
        except ValueError:
            raise InputError(f"--into {text!r} is not NAME=FRACTION or NAME=0,3,7", "--into train=0.8") from None
    return parts


@contextmanager
def _telling(title: str) -> Iterator[Callable[[int, int], None]]:
    with progress(title, 1.0) as advance:
        yield lambda done, total: advance(done / max(1, total), f"{done:,} of {total:,}")


def _row(one: Episode, stand: Standing) -> dict[str, Any]:
    labels = " ".join(f"{name}={text}" for name, text in sorted(one.labels.items()))
    went = {True: "yes", False: "no", None: None}[one.success]
    return {
        "name": one.name, "robot": one.robot, "start": iso_time(one.start_us),
        "length": show_duration(one.length_us) if one.state != "open" else "open", "note": one.note or None,
        "success": went, "labels": labels or None, "version": one.version, "state": one.state,
        "loses data": _fate(one, stand),
    }  # fmt: skip


def _fate(one: Episode, stand: Standing) -> str:
    if stand.gone:
        return "gone"
    lost = "lost some; " if stand.lost else ""
    if one.pinned:
        return f"{lost}pinned at {one.pinned.get('place')}"
    return lost + (iso_time(stand.loses_us)[:10] if stand.loses_us is not None else "never")


def _standing_dict(stand: Standing) -> dict[str, Any]:
    return {"loses_us": stand.loses_us, "lost": dict(stand.lost), "gone": stand.gone}


def _more_lines(one: Episode) -> list[str]:
    labels = ", ".join(f"{name}={text}" for name, text in sorted(one.labels.items()))
    lines = [f"streams {', '.join(one.streams)}" + (f", without {', '.join(one.removed)}" if one.removed else "")]
    lines += [f"computed {name} = {text}" for name, text in sorted(one.computed.items())]
    lines += [f"labels {labels}"] if labels else []
    lines += [f"made of {', '.join(one.parents[:5])}{', ...' if len(one.parents) > 5 else ''}"] if one.parents else []
    return lines


def _lost_lines(one: Episode, stand: Standing) -> list[str]:
    if stand.gone:
        return [f"no place that answered holds any of {one.name}: the rings have turned over"]
    lines = [f"lost: {name} is held from {iso_time(at)} only" for name, at in sorted(stand.lost.items())]
    if one.pinned:
        lines.append(f"pinned at {one.pinned.get('place')}, {size_text(int(one.pinned.get('bytes', 0)))}")
    elif stand.loses_us is not None:
        lines.append(f"it begins to lose data on {iso_time(stand.loses_us)[:10]}: fleetbox episode pin {one.name}")
    return lines


def _what(revision: Any) -> str:
    if revision.version == 1:
        return ""
    changes = [f"{name}={value}" for name, value in {**revision.set, **revision.labels}.items()]
    text = ", ".join(changes)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _made(made: Sequence[Episode], as_json: bool) -> int:
    if as_json:
        emit({"episodes": [one.as_dict() for one in made]})
        return 0
    for one in made[:SHOWN]:
        say(f"{one.name}  {one.robot}, {show_duration(one.length_us)}  {one.id}")
    if len(made) > SHOWN:
        say(f"and {len(made) - SHOWN:,} more")
    return 0


def _changed(count: int, did: str, as_json: bool, at: dict[str, str]) -> int:
    if as_json:
        emit({"changed": count, "at": at})
    else:
        say(f"{count:,} episodes {did}")
    return 0


def _preview(lines: Sequence[str], would: str, as_json: bool) -> int:
    if as_json:
        emit({"would": list(lines), "done": False})
        return 0
    for line in lines[:SHOWN]:
        say(line)
    note(f"{len(lines):,} episodes {would}; --yes does it")
    return 0


def _pinned(told: Sequence[Pinned], did: str, as_json: bool) -> int:
    clashes = [text for one in told for text in one.clashes]
    if as_json:
        emit({"pins": [
            {"place": one.place, "records": one.records, "bytes": one.size_bytes, "already": one.already,
             "clashes": one.clashes} for one in told
        ]})  # fmt: skip
    else:
        records, size = sum(one.records for one in told), sum(one.size_bytes for one in told)
        places = ", ".join(dict.fromkeys(one.place for one in told))
        say(f"{len(told):,} episodes: {records:,} records, {size_text(size)} {did} at {places}")
        for text in clashes[:SHOWN]:
            note(f"not copied: {text}")
    return PARTIAL if clashes else 0


def _unreached(unreached: Sequence[Unreached]) -> int:
    for one in unreached:
        note(f"not asked: {one}")
    return PARTIAL if unreached else 0
