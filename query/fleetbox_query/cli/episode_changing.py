"""The verbs that change, keep and make others of episodes: revisions and copies, never a record touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from fleetbox.cli.options import parse_labels
from fleetbox.cli.output import emit, say, size_text
from fleetbox.errors import InputError
from fleetbox_query.cli.episode_choosing import choose, fleet_of, names_argument, place_options
from fleetbox_query.cli.episode_telling import SHOWN, tell_changed, tell_made, tell_pinned, tell_preview, telling

yes_option = click.option("--yes", is_flag=True, help="Do it; without, only say what would be done.")


@click.command("label")
@names_argument
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Give this label; K= takes it away; repeatable.")
@click.option("--note", help="The task, in words.")
@click.option("--success/--fail", default=None, help="How it went.")
@click.option("--fps", type=click.FloatRange(min=0, min_open=True))
@click.option("--robot-type")
@place_options
def label(names: tuple[str, ...], labels: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Give episodes labels, a note, a result; each change is a version."""
    taken = {pair[:-1]: None for pair in labels if pair.endswith("=")}
    given = parse_labels(tuple(pair for pair in labels if not pair.endswith("=")))
    words = {key: options[key] for key in ("note", "success", "fps", "robot_type")}
    with fleet_of(options) as fleet:
        done = choose(fleet, names, options).label({**given, **taken}, **words)
    return tell_changed(done.revisions, "labelled", as_json, done.at)


@click.command("split")
@names_argument
@click.option("--into", "parts", multiple=True, metavar="NAME=0.8", help="A part: a fraction, or indexes 0,3,7.")
@click.option("--at", "times", multiple=True, metavar="T", help="Instead: cut one episode at this moment; repeatable.")
@place_options
def split(names: tuple[str, ...], parts: tuple[str, ...], times: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Make a set of episodes of each part, in order of names; the episodes themselves stay as they are.

    Fractions add up to at most 1, the last part takes the remainder: --into train=0.8 --into val=0.2.
    """
    if bool(parts) == bool(times):
        raise InputError("give parts, or moments to cut at", "--into train=0.8 --into val=0.2, or --at T")
    with fleet_of(options) as fleet, telling("episode split") as tell:
        chosen = choose(fleet, names, options)
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


@click.command("merge")
@names_argument
@click.option("--into", "name", required=True, metavar="NAME", help="The set, or with --joined the episode, to make.")
@click.option("--joined", is_flag=True, help="Make one episode of all their intervals (of one robot).")
@place_options
def merge(names: tuple[str, ...], name: str, joined: bool, as_json: bool, **options: Any) -> int:
    """Make one set of episodes, in the order given; they must have the same fps, robot type and features."""
    with fleet_of(options) as fleet, telling("episode merge") as tell:
        chosen = [choose(fleet, (one,), options) for one in names]
        made = [choose(fleet, names, options).join(name)] if joined else chosen[0].merge(
            name, *chosen[1:], tell=tell
        ).list()  # fmt: skip
    return tell_made(made, as_json)


@click.command("drop")
@names_argument
@yes_option
@place_options
def drop(names: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Hide episodes; no record is touched, and NAME@VERSION still shows one. `restore` brings them back."""
    with fleet_of(options) as fleet:
        chosen = choose(fleet, names, options)
        if not yes:
            return tell_preview([one.name for one in chosen.list()], "would be dropped", as_json)
        done = chosen.drop()
    return tell_changed(done.revisions, "dropped", as_json, done.at)


@click.command("restore")
@names_argument
@place_options
def restore(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Bring dropped episodes back."""
    with fleet_of(options) as fleet:
        done = choose(fleet, names, options).restore()
    return tell_changed(done.revisions, "brought back", as_json, done.at)


@click.command("features")
@names_argument
@click.option("--add", "added", multiple=True, metavar="STREAM:NAME=EXPR", help="A field computed from that stream's.")
@click.option("--remove", "removed", multiple=True, metavar="STREAM[:FIELD]", help="Take it out of the view.")
@click.option("--bring-back", "back", multiple=True, metavar="STREAM[:FIELD]", help="Put a removed one back.")
@place_options
def features(
    names: tuple[str, ...], added: tuple[str, ...], removed: tuple[str, ...], back: tuple[str, ...], as_json: bool,
    **options: Any,
) -> int:  # fmt: skip
    """Show the features of episodes, or change them: --add 'odom:speed=sqrt(vx*vx + vy*vy)' --remove cam/back."""
    with fleet_of(options) as fleet:
        chosen = choose(fleet, names, options)
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


@click.command("pin")
@names_argument
@place_options
def pin(names: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """Copy what episodes show into `kept`, where no ring takes it; at the last site that holds them, or --site.

    Exits 3, with what could be unpinned, when `kept` has no room, and when a record could not be copied.
    """
    with fleet_of(options) as fleet, telling("episode pin") as tell:
        told = fleet.episodes(*names).pin(tier=options["tier"], site=options["site"], tell=tell)
    return tell_pinned(told, "copied", as_json)


@click.command("unpin")
@names_argument
@yes_option
@place_options
def unpin(names: tuple[str, ...], yes: bool, as_json: bool, **options: Any) -> int:
    """Take the pins' copies out of `kept` again, but for those that another pinned episode shows."""
    with fleet_of(options) as fleet:
        chosen = choose(fleet, names, options)
        if not yes:
            lines = [f"{one.name}: {size_text(int(one.pinned.get('bytes', 0)))}" for one in chosen.list() if one.pinned]
            return tell_preview(lines, "would be unpinned", as_json)
        told = chosen.unpin()
    return tell_pinned(told, "freed", as_json)


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
