"""The verbs that look at data: ls, query, get, event."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, say, table
from fleetbox.errors import InputError
from fleetbox.time import GRAMMAR, iso_time, show_time
from fleetbox_query.cli.ranges import range_options
from fleetbox_query.cli.searching import search
from fleetbox_query.showing import STREAM_COLUMNS, event_dict, event_lines, event_row, fitted_rows

if TYPE_CHECKING:
    from fleetbox_query.answering import Wish
    from fleetbox_query.fleet import Fleet
    from fleetbox_query.inventory import Unreached
    from fleetbox_query.provenance import Provenance
    from fleetbox_query.question import Question

PARTIAL = 3
CLOCKS = ("record", "log", "publish", "header")
FORMATS = ("table", "json", "ndjson", "csv", "parquet")


@click.command()
@click.argument("selector", default="*")
@click.option("--all", "every", is_flag=True, help="Also what nobody recorded: books, policies, what agents measure.")
@tier_option
@site_option
@fleet_option
@json_option
def ls(selector: str, every: bool, tier: str | None, site: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """List the streams that SELECTOR (ROBOT/STREAM, globs) chooses, and where they are held.

    Streams that fleetbox keeps for itself are listed when they are named, as 'r1/ledger' or 'r1/fleetbox/*', or with
    --all.
    """
    with _connected(fleet_path) as fleet:
        streams, now_us = fleet.streams(selector, tier=tier, site=site, all=every), fleet.session.now_us()
        others = "" if streams else _others(fleet, selector)
    if as_json:
        emit(
            {
                "streams": [stream.as_dict() for stream in streams],
                "untold": list(streams.untold),
                "hidden": streams.hidden,
                **_asked(streams.provenance),
            }
        )
    elif streams:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        rows = streams.rows() if width is None else fitted_rows(streams, width, now_us)
        table(rows, STREAM_COLUMNS, right=("Hz", "size/s", "records"))
    else:
        note(f"nothing is recorded that {selector} chooses, at {', '.join(streams.provenance.places_read)}{others}")
        if streams.hidden:
            note(f"not listed: {streams.hidden} of fleetbox's own (books, policies and the like); --all lists them")
    for line in streams.untold_lines():
        note(line)
    return _tell(streams.provenance)


@click.command()
@click.argument("selector", nargs=-1, required=True)
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only records with this label; repeatable.")
@click.option("--when", default="", metavar="CEL", help="Only where it holds: \"ax < -4.0 && site == 'edge-1'\".")
@range_options
@click.option(
    "--limit", type=click.IntRange(min=1), help="At most so many rows or records [20 on a terminal, else all]."
)
@click.option("--format", "format_", type=click.Choice(FORMATS), default=FORMATS[0], show_default=True)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write to this file (Parquet: or folder).")
@click.option("--plot", is_flag=True, help="Draw scalars, such as r1/imu:ax.")
@click.option("--explain", is_flag=True, help="Say what the store filters and what this program does; read nothing.")
@click.option(
    "--clock", type=click.Choice(["record", "log", "publish", "header"]), default="record", help="Times shown."
)
@tier_option
@site_option
@fleet_option
def query(selector: tuple[str, ...], **options: Any) -> int:
    """Show the rows or records that SELECTOR (ROBOT/STREAM[:FIELD], globs) chooses, in order of time.

    \b
    fleetbox query r7/imu --last 10m                    what r7 measured in the last ten minutes
    fleetbox query 'r*/imu:ax' --when 'ax < -4' --plot  one field of all robots, where it was low, drawn
    fleetbox query r7/log/robot --label level=error    a robot's lines with a label

    ndjson writes one object per row or record: robot, stream, time_us, type, labels, and `fields` (dotted names;
    NaN and infinities as text) or `content_type`, `bytes` (base64) and, for text and JSON, `value`.
    """
    from fleetbox_query import answering

    wish = answering.unlimited(_wish(options))
    with _connected(options["fleet_path"]) as fleet:
        question = _question(fleet, selector, options)
        if options["explain"]:
            return _explain(answering.explain(fleet, question), wish.format == "json")
        if options["plot"]:
            drawing, provenance = answering.plot(fleet, question, shutil.get_terminal_size().columns)
            say(drawing)
            return _tell(provenance)
        answered = answering.answer(fleet, question, wish)
    if answered.more != 0:
        left = "more rows" if answered.more is None else f"{answered.more:,} more rows"
        note(f"{left}; --limit N shows N of them")
    if not answered.written and not answered.hints:
        note("nothing lies in that time and passes those conditions")
    for hint in answered.hints:
        note(hint)
    if answered.written and wish.format != "json":  # which says it itself
        note(f"records read: {answered.provenance.text}")
    return _tell(answered.provenance)


@click.command()
@click.argument("selector")
@click.option("--at", metavar="T", help=f"When: {GRAMMAR}, or event:ID.  [required]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write its bytes to this file or folder.")
@tier_option
@site_option
@fleet_option
@json_option
def get(
    selector: str,
    at: str | None,
    output: Path | None,
    tier: str | None,
    site: str | None,
    fleet_path: Path | None,
    as_json: bool,
) -> int:
    """Get the record of SELECTOR nearest to a time: text is printed, pictures and other bytes go to a file.

    \b
    fleetbox get r7/cam/front --at -1m -o front.jpg    the picture of a minute ago
    fleetbox get r7/imu --at event:ID                  what it measured when that happened

    The nearest that opens: one that does not is named, and the exit code is 3.
    """
    from fleetbox_query import getting

    if not at:
        raise InputError("of which time?", "give --at, such as --at -1m, --at 2026-11-21T13:30:00Z or --at event:ID")
    with _connected(fleet_path) as fleet:
        question = _question(fleet, (selector,), {"tier": tier, "site": site})
        found = getting.find(fleet, question, at)
    where = f"{found.item.robot}/{found.item.stream} at {show_time(found.item.time_us)}, from {found.place}"
    path = getting.save(found.item, output) if output else None
    if as_json:
        emit({**getting.as_dict(found), "file": str(path) if path else None})
    else:
        note(f"{where}, {getting.distance_text(found.off_us)}")
        if path:
            say(str(path))
        else:
            getting.show(found.item)
    return _tell(found.provenance)


@click.group()
def event() -> None:
    """List and search events, and look at one."""


@event.command("ls")
@click.argument("kind", required=False)
@click.option(
    "--robot", "robots", multiple=True, default=("*",), help="Only events of these robots (glob); repeatable."
)
@range_options
@tier_option
@site_option
@fleet_option
@json_option
def event_ls(kind: str | None, robots: tuple[str, ...], as_json: bool, **options: Any) -> int:
    """List events in order of time, of one KIND (a glob) or of all."""
    from fleetbox_query.nothing import why_no_event

    with _connected(options["fleet_path"]) as fleet:
        chosen = fleet.events(kind).robots(*robots).at(tier=options["tier"], site=options["site"])
        chosen = chosen.between(options["start"], options["stop"])
        found = chosen.find()
        others = why_no_event(fleet.session, chosen.question, chosen.places) if kind and not found.events else ""
    if as_json:
        emit({"events": [event_dict(one) for one in found.events], "unreachable": list(map(str, found.unreached))})
    elif found.events:
        columns = ["id", "kind", "robot", "time", "before", "after", "state", "records", "note"]
        table([event_row(one) for one in found.events], columns, right=("before", "after", "records"))
    else:
        note(others or "no such events; raise one with `fleetbox mark KIND`")
    return _tell_unreached(found.unreached)


@event.command("show")
@click.argument("id_", metavar="ID")
@tier_option
@site_option
@fleet_option
@json_option
def event_show(id_: str, tier: str | None, site: str | None, fleet_path: Path | None, as_json: bool) -> int:
    """Show one event, by its id or a beginning only it has."""
    with _connected(fleet_path) as fleet:
        found = fleet.event(id_, tier=tier, site=site)
    if as_json:
        emit({"event": event_dict(found)})
        return 0
    say(f"{found.id}: {found.kind} of {found.robot} at {show_time(found.time_us)}, {found.state}")
    say(f"from {iso_time(found.start_us)} to {iso_time(found.stop_us)}, streams {', '.join(found.streams)}")
    for text in event_lines(found):
        say(text)
    table(
        [{"stream": name, "selected": count} for name, count in sorted(found.labelled.items())], ["stream", "selected"]
    )
    for name, oldest_us in sorted(found.cut_streams().items()):
        say(f"cut short: {name} was held from {iso_time(oldest_us)} only, the ring had turned over")
    say(f"next: fleetbox query '{found.robot}/**' --start event:{found.id}-10s --stop event:{found.id}+5s")
    return 0


event.add_command(search)


def _connected(path: Path | None) -> Fleet:
    from fleetbox_query.fleet import connect

    return connect(path)


def _others(fleet: Fleet, selector: str) -> str:
    """Return what was probably meant by a selector that nothing answers to, or some of what there is."""
    from fleetbox.selectors import Selector
    from fleetbox_query.absent import instead

    there = {(one.robot, one.stream) for one in fleet.streams("*")}
    return f"; {instead((Selector.parse(selector),), there)}" if there else ""


def _question(fleet: Fleet, selectors: tuple[str, ...], options: dict[str, Any]) -> Question:
    from fleetbox_query.question import Question, parse_selectors

    if any(text.startswith("episode:") for text in selectors):
        from fleetbox_query.exports.choosing import Choice, chosen

        words = {name: options.get(name) for name in ("start", "stop", "tier", "site")}
        labels, when = parse_labels(options.get("labels", ())), options.get("when", "")
        return chosen(fleet, Choice(selectors, labels=labels, when=when, **words))
    return Question(
        parse_selectors(selectors),
        fleet.session.moment(options.get("start")),
        fleet.session.moment(options.get("stop")),
        labels=parse_labels(options.get("labels", ())),
        when=options.get("when", ""),
        tier=options["tier"],
        site=options["site"],
    )


def _wish(options: dict[str, Any]) -> Wish:
    from fleetbox_query.answering import Wish

    chosen = "json" if options["as_json"] else options["format_"]
    return Wish(chosen, options["limit"], options["output"], options["clock"])


def _explain(found: dict[str, Any], as_json: bool) -> int:
    if as_json:
        emit(found)
        return 0
    say(f"store filters   {found['store'] or 'nothing'}")
    say(f"client, labels  {' && '.join(found['client']['labels']) or 'nothing'}")
    say(f"client, rows    {' && '.join(found['client']['rows']) or 'nothing'}")
    for one in found["streams"]:
        say(f"reads           {one['stream']} ({one['class']}) from {', '.join(one['places'])}")
    for text in found["unreachable"]:
        note(f"not asked: {text}")
    return PARTIAL if found["unreachable"] else 0


def _asked(provenance: Provenance) -> dict[str, Any]:
    return {"asked": list(provenance.places_read), "unreachable": [str(one) for one in provenance.unreachable]}


def _tell(provenance: Provenance) -> int:
    """Say on stderr what an answer lacks; return the exit code."""
    for line in provenance.lines():
        note(line)
    return 0 if provenance.complete else PARTIAL


def _tell_unreached(unreached: tuple[Unreached, ...]) -> int:
    for one in unreached:
        note(f"not asked: {one}")
    return PARTIAL if unreached else 0
