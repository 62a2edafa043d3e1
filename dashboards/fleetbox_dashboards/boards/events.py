"""The board Events: when, where, which robot, what kind."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from fleetbox.measurements import EVENTS
from fleetbox_dashboards import panels, variables
from fleetbox_dashboards.asking import quoted, worst
from fleetbox_dashboards.boards.frame import Frame, to_robot, uid
from fleetbox_dashboards.limits import WORST
from fleetbox_dashboards.panels import Column, Graph, Look, Query
from fleetbox_dashboards.variables import IN_TIME, OF_KINDS, OF_ROBOTS, OF_SITES

WHERE = f"{OF_SITES} AND {OF_ROBOTS} AND {OF_KINDS}"
IN_RANGE = f"WHERE {IN_TIME} AND {WHERE}"
EMPTY = "no event in this range"
SHOWN = 500  # rows of the table; the search of a large fleet is `fleetbox event search`
WIDTHS = {"site": 100, "severity": 80, "by": 100, "trigger": 120, "state": 90}  # px; what is left goes to the note
# A minute before and after, so that the event stands in the middle of the robot's graphs.
AROUND = (
    "The robot around it",
    f"/d/{uid('robot')}?var-robot=${{__data.fields.robot}}&${{datasource:queryparam}}"
    "&from=${__data.fields.from_ms}&to=${__data.fields.to_ms}",
)
AS_COMMAND = """\
A row's id leads into the shell; `event:ID` stands for a time wherever one is asked for.

    fleetbox event show ID
    fleetbox get 'ROBOT/cam/front' --at event:ID
    fleetbox export mcap event:ID -o moment.mcap
    fleetbox event ls --start ${__from} --stop ${__to}
"""


def events() -> Frame:
    """Return the board."""
    return Frame(
        name="events",
        title="Events",
        description="Moments that people marked and triggers found: when, where, which robot, what kind.",
        variables=[variables.sites(), variables.kinds(), variables.robots()],
        panels=[*_counts(), _timeline(), *_rankings(), _map(), _table(), _commands()],
        events_where=WHERE,
        since="now-7d",
    )


def _counts() -> list[panels.AnyPanel]:
    table = f'FROM "{EVENTS.name}" {IN_RANGE}'
    return [
        panels.number(
            Look("Events", "Events that begin in this range.", empty="0", width=8),
            f'SELECT count("id") AS "value" {table}',
        ),
        panels.number(
            Look("Records kept", "Records that these events chose to travel.", empty="0", width=8),
            f'SELECT sum("labelled") AS "value" {table}',
        ),
        panels.number(
            Look("Longest", "The longest window of an event.", units.Seconds, EMPTY, width=8),
            f'SELECT max("duration_s") AS "value" {table}',
        ),
    ]


def _timeline() -> panels.AnyPanel:
    asked = f'SELECT count("id") FROM "{EVENTS.name}" {IN_RANGE} GROUP BY time($__interval), "kind" fill(0)'
    look = Look("Timeline", "How many events of each kind, over time.", empty=EMPTY, width=24, height=8)
    return panels.graph(look, Graph([Query(asked, "$tag_kind")], bars=True))


def _rankings() -> list[panels.AnyPanel]:
    def most(tag: str) -> str:
        inner = f'SELECT count("id") AS "events" FROM "{EVENTS.name}" {IN_RANGE} GROUP BY "{tag}"'
        return worst("events", (), (tag,), inner)

    return [
        panels.bars(Look("By kind", "How many of each kind.", empty=EMPTY, width=6, height=10), most("kind")),
        panels.bars(
            Look("By robot", f"The {WORST} robots with the most events.", empty=EMPTY, width=6, height=10),
            most("robot"),
        ),
    ]


def _map() -> panels.AnyPanel:
    asked = (
        f'SELECT "lat", "lon", "robot", "kind", "note" FROM "{EVENTS.name}" {IN_RANGE} AND "lat" > -91 LIMIT {SHOWN}'
    )
    look = Look(
        "Where",
        "Events that know where they were. The map behind the markers comes from the internet; without it they stay.",
        units.Degrees,
        "no event of this range knows where it was",
        width=12,
        height=10,
    )
    return panels.places(look, asked)


def _table() -> panels.AnyPanel:
    shown = ("robot", "site", "kind", "note", "severity", "by", "trigger", "state", "duration_s", "labelled", "id")
    taken = ", ".join(map(quoted, shown))
    window = '"start_us" / 1000 - 60000 AS "from_ms", "stop_us" / 1000 + 60000 AS "to_ms"'
    asked = f'SELECT {taken}, {window} FROM "{EVENTS.name}" {IN_RANGE} ORDER BY time DESC LIMIT {SHOWN}'
    columns = {
        "Time": Column("when", units.DatetimeISO, link=AROUND, width=185),
        **{name: Column(name, units.String, width=WIDTHS.get(name)) for name in shown},
        "robot": Column("robot", units.String, link=to_robot()),
        "duration_s": Column("lasts", units.Seconds, width=80),
        "labelled": Column("records", width=80),
    }
    look = Look(
        "Every event",
        f"The newest {SHOWN}, the newest first. Its time leads to the robot's board around it.",
        empty=EMPTY,
        width=24,
        height=12,
    )
    return panels.rows(look, asked, columns, hidden=("from_ms", "to_ms"))


def _commands() -> panels.AnyPanel:
    return panels.words("Fetch what you see", "Commands for a shell that knows the fleet.", AS_COMMAND, 24, 6)
