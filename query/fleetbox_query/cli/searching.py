"""The verb that searches events: by words, labels, length, time and place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fleetbox.cli.options import fleet_option, json_option, parse_labels, site_option, tier_option
from fleetbox.cli.output import emit, note, table
from fleetbox_query.cli.ranges import range_options
from fleetbox_query.showing import event_dict, event_row

if TYPE_CHECKING:
    from fleetbox_query.chosen_events import Events
    from fleetbox_query.fleet import Fleet

PARTIAL = 3
COLUMNS = ("id", "kind", "robot", "time", "before", "after", "state", "records", "note")


@click.command("search")
@click.argument("words", nargs=-1)
@click.option("--kind", metavar="GLOB", help="Only of this kind.")
@click.option("--robot", "robots", multiple=True, default=("*",), help="Only of these robots (glob); repeatable.")
@click.option("--label", "labels", multiple=True, metavar="K=V", help="Only with this label; repeatable.")
@click.option("--severity", metavar="TEXT", help="The same as --label severity=TEXT.")
@click.option("--longer", metavar="2s", help="Only intervals at least so long.")
@click.option("--shorter", metavar="1m", help="Only intervals at most so long.")
@click.option("--near", metavar="LAT,LON,200m", help="Only within a circle, by the labels lat and lon.")
@click.option("--box", metavar="LAT,LON,LAT,LON", help="Only within a box, by the labels lat and lon.")
@click.option("--plane", is_flag=True, help="--near and --box are in metres, by the labels x and y.")
@range_options
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="Show the newest so many.")
@tier_option
@site_option
@fleet_option
@json_option
def search(fleet_path: Path | None, as_json: bool, **options: Any) -> int:
    """Search events whose kind, note, trigger or labels hold all WORDS, and that pass every option.

    The first search of a store reads all its events, once; later ones what came since.
    """
    from fleetbox_query.fleet import connect

    with connect(fleet_path) as fleet:
        found = _chosen(fleet, options).find()
    shown = found.events[-options["limit"] :]
    if as_json:
        missing = list(map(str, found.unreached))
        emit({"events": [event_dict(one) for one in shown], "found": len(found.events), "unreachable": missing})
    elif shown:
        table([event_row(one) for one in shown], COLUMNS, right=("before", "after", "records"))
        if len(found.events) > len(shown):
            note(f"the newest {len(shown):,} of {len(found.events):,} events; --limit N shows more")
    else:
        note("no event is like that; `fleetbox event ls` shows what there is")
    for one in found.unreached:
        note(f"not asked: {one}")
    return PARTIAL if found.unreached else 0


def _chosen(fleet: Fleet, options: dict[str, Any]) -> Events:
    from fleetbox_query.event_search import parse_box, parse_circle

    plane = options["plane"]
    chosen = fleet.events(options["kind"]).robots(*options["robots"]).at(tier=options["tier"], site=options["site"])
    chosen = chosen.between(options["start"], options["stop"])
    near = parse_circle(options["near"], plane) if options["near"] else None
    box = parse_box(options["box"], plane) if options["box"] else None
    return chosen.search(
        " ".join(options["words"]),
        labels=parse_labels(options["labels"]),
        severity=options["severity"],
        longer=options["longer"],
        shorter=options["shorter"],
        near=(near.first, near.second, near.radius_m) if near else None,
        box=(box.first_low, box.second_low, box.first_high, box.second_high) if box else None,
        plane=plane,
    )
