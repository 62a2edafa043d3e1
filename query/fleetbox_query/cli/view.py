"""The verb that opens streams in Rerun."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, progress, say, size_text
from fleetbox_query.cli.ranges import range_options

if TYPE_CHECKING:
    from fleetbox_query.fleet import Fleet
    from fleetbox_query.question import Question
    from fleetbox_query.viewing.subject import Words

PARTIAL = 3
_CHOOSING = (
    click.argument("names", nargs=-1, metavar="SELECTOR | event:ID | episode:NAME"),
    range_options,
    click.option("--pre", metavar="DURATION", help="So much before the event's moment [its own interval]."),
    click.option("--post", metavar="DURATION", help="So much after it."),
    click.option("--label", "labels", multiple=True, metavar="K=V", help="Only records with this label; repeatable."),
    click.option("--when", default="", metavar="CEL", help="Only where it holds: \"ax < -4.0 && site == 'edge-1'\"."),
    tier_option,
    site_option,
    fleet_option,
    json_option,
)


def choosing(command: Callable[..., int]) -> Callable[..., int]:
    """Add what view and replay are asked with."""
    for option in reversed(_CHOOSING):
        command = option(command)
    return command


def question_of(fleet: Fleet, given: dict[str, Any]) -> Question:
    """Return the question that the options of `choosing` ask."""
    from fleetbox_query.viewing.subject import subject_of

    return subject_of(fleet, words_of(given))


def words_of(given: dict[str, Any]) -> Words:
    """Return what was given to the options of `choosing`."""
    from fleetbox_query.viewing.subject import Words

    labels = parse_labels(given["labels"])
    rest = {name: given[name] for name in ("names", "start", "stop", "pre", "post", "when", "tier", "site")}
    return Words(labels=labels, **rest)


@click.command()
@choosing
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write this *.rrd instead of opening the viewer.")
def view(output: Path | None, **given: Any) -> int:
    """Open streams in Rerun, all on one clock, in views chosen by what they hold.

    Pictures, point clouds, a map, curves, states, log and events; what Rerun cannot show is named, with exit code 3.
    With event:ID the viewer opens at its moment. Where there is no display, or with -o, all of it is written into a
    file for `rerun FILE` elsewhere.
    """
    from fleetbox_query.fleet import connect
    from fleetbox_query.nothing import why_nothing
    from fleetbox_query.selection import Selection
    from fleetbox_query.viewing.recording import file_name, has_display
    from fleetbox_query.viewing.recording import view as show
    from fleetbox_query.viewing.subject import focus_of

    with connect(given["fleet_path"]) as fleet, progress("view", 1.0) as advance:
        question = question_of(fleet, given)
        if output is None and not has_display():
            output = file_name(question, fleet.session.now_us())
        viewed = show(Selection(fleet.session, question), output, advance, focus_of(fleet, words_of(given)))
        if not viewed.items and viewed.complete:
            note(why_nothing(fleet.session, question))
    if given["as_json"]:
        emit(viewed.as_dict())
    else:
        counts = f"{viewed.items.total():,} items of {len(viewed.items)} streams, {viewed.events:,} events"
        say(f"{viewed.path}: {counts}, {size_text(viewed.file_bytes)}" if viewed.path else counts)
        for line in [*viewed.filled.told, *viewed.lines()]:
            note(line)
    return 0 if viewed.complete else PARTIAL
