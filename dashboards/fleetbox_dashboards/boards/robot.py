"""The board Robot: one robot's numbers, rates, ring, spool, uplink, events and log."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from fleetbox.measurements import AGENT_STREAM, EVENTS, LOGS, ROBOTS, STREAMS
from fleetbox.naming import RING_CLASSES
from fleetbox_dashboards import panels, variables
from fleetbox_dashboards.asking import quoted
from fleetbox_dashboards.boards.frame import Frame, uid
from fleetbox_dashboards.limits import BELOW_EXPECT, HELD_H, LAG_S, SILENT_S
from fleetbox_dashboards.panels import Column, Graph, Look, Query
from fleetbox_dashboards.variables import IN_TIME, OF_ROBOT

WHERE = f"WHERE {IN_TIME} AND {OF_ROBOT}"
BY_TIME = "GROUP BY time($__interval) fill(none)"
NO_NUMBERS = "this stream has no numbers in this range"
NO_HEALTH = "this robot's agent tells nothing about itself: is `[agent] health` off, or the robot?"
SECONDS = "1s"  # roll-ups are made by the second


def _cursor(*chosen: str) -> tuple[str, str]:
    """Return a link that sets `at` to the point's time; the panel of commands says it then."""
    kept = "&".join(f"${{{name}:queryparam}}" for name in ("datasource", "robot", "stream", *chosen, "camera"))
    return (
        "The command that fetches this moment",
        f"/d/{uid('robot')}?{kept}&${{__url_time_range}}&var-at=${{__value.time}}",
    )


CURSOR = _cursor("field")
CURSOR_OF_FIELD = _cursor()  # a panel made once per field knows its own alone: the other graphs would go away
COMMANDS = """\
A click on a graph puts its moment, in ms since 1970, into the commands that have an `--at`.

    fleetbox get '${robot:raw}/${camera:raw}' --at ${at:raw} -o frame.jpg
    fleetbox get '${robot:raw}/${stream:raw}' --at ${at:raw}
    fleetbox query '${robot:raw}/${stream:raw}' --start ${__from} --stop ${__to}
    fleetbox mark look --robot ${robot:raw} --at ${at:raw} --pre 10s --post 5s --note 'seen in Grafana'
"""


def robot() -> Frame:
    """Return the board."""
    return Frame(
        name="robot",
        title="Robot",
        description="One robot: its numbers, rates, ring, spool, uplink, events and log.",
        variables=[
            variables.find(),
            variables.robot(),
            variables.stream(),
            variables.fields(),
            variables.camera(),
            variables.at(),
        ],
        panels=[*_state(), *_rates(), *_agent(), *_told(), _commands(), _field()],
        events_where=OF_ROBOT,
        since="now-1h",
    )


def _state() -> list[panels.AnyPanel]:
    def newest(name: str) -> str:
        return f'SELECT last({quoted(name)}) AS "value" FROM "{ROBOTS.name}" {WHERE}'

    return [
        panels.number(
            Look("Recording", "Whether its newest word says that it records.", units.BoolYesNo, steps=panels.YES_NO),
            newest("recording"),
        ),
        panels.number(
            Look(
                "Last word",
                "How long it had told nothing when the site last looked.",
                units.Seconds,
                steps=panels.above(SILENT_S / 2, SILENT_S),
            ),
            newest("age_s"),
        ),
        panels.number(
            Look(
                "Lag",
                "From the recording of its records to their arrival.",
                units.Seconds,
                steps=panels.above(LAG_S, SILENT_S),
            ),
            newest("lag_s"),
        ),
        panels.number(
            Look(
                "Holds",
                "Hours that its ring still holds: a pull reaches no further back.",
                units.Hours,
                steps=panels.below(HELD_H, 2 * HELD_H),
            ),
            newest("held_h"),
        ),
        panels.number(
            Look("Waiting", "Records chosen to travel that have not arrived yet.", steps=panels.WAITING),
            newest("waiting"),
        ),
        panels.number(
            Look(
                "Lost or unexplained",
                "Records the books miss: it must be 0. `fleetbox audit` names them.",
                steps=panels.BAD_ABOVE_ZERO,
            ),
            f'SELECT last("lost") + last("unexplained") AS "value" FROM "{ROBOTS.name}" {WHERE}',
        ),
    ]


def _rates() -> list[panels.AnyPanel]:
    columns = {
        "stream": Column("stream", units.String, width=160),
        "hz": Column("comes", panels.HERTZ),
        "expect_hz": Column("expected", panels.HERTZ),
        "share": Column("of expected", units.PercentUnit, panels.below(BELOW_EXPECT, 1.0)),
        "bytes_s": Column("bytes", units.BytesPerSecondSI),
        "age_s": Column("newest", units.Seconds, panels.above(SILENT_S)),
    }
    seen = (
        'SELECT last("hz") AS "hz", last("expect_hz") AS "expect_hz", last("hz") / last("expect_hz") AS "share", '
        f'last("bytes_s") AS "bytes_s", last("age_s") AS "age_s" FROM "{STREAMS.name}" {WHERE} GROUP BY "stream"'
    )
    one = f'FROM "{STREAMS.name}" {WHERE} AND "stream" = \'${{stream:raw}}\' {BY_TIME}'
    sizes = f'SELECT mean("bytes_s") FROM "{STREAMS.name}" {WHERE} GROUP BY time($__interval), "stream" fill(none)'
    return [
        panels.rows(
            Look(
                "Streams",
                "What came in the newest minute beside what the policy's `expect` says.",
                empty="no stream of this robot has told anything in this range",
                width=12,
                height=9,
            ),
            seen,
            columns,
        ),
        panels.graph(
            Look(
                "Rate of ${stream:raw}",
                "Rows or frames a second, from the ledger, and what the policy expects.",
                panels.HERTZ,
                NO_NUMBERS,
                width=6,
                height=9,
                link=CURSOR,
            ),
            Graph(
                [Query(f'SELECT mean("hz") AS "comes" {one}'), Query(f'SELECT mean("expect_hz") AS "expected" {one}')],
                dashed=["expected"],
            ),
        ),
        panels.graph(
            Look(
                "Bytes by stream",
                "What each stream records, whether or not it travels.",
                units.BytesPerSecondSI,
                width=6,
                height=9,
                link=CURSOR,
            ),
            Graph([Query(sizes, "$tag_stream")], bars=True),
        ),
    ]


def _agent() -> list[panels.AnyPanel]:
    def told(what: dict[str, str]) -> Query:
        taken = ", ".join(f"{how}({quoted(name)}) AS {quoted(shown)}" for shown, (how, name) in _split(what).items())
        return Query(f"SELECT {taken} FROM {quoted(AGENT_STREAM)} {WHERE} {BY_TIME}")

    return [
        panels.graph(
            Look(
                "Ring: bytes",
                "What each class of the ring takes on the robot's disk.",
                units.BytesSI,
                NO_HEALTH,
                width=6,
                height=8,
            ),
            Graph([told({name: f"last ring.{name}.used_bytes.last" for name in RING_CLASSES})]),
        ),
        panels.graph(
            Look(
                "Ring: hours held",
                "How far back each class reaches. What is not asked for by then is let go.",
                units.Hours,
                NO_HEALTH,
                panels.below(HELD_H, 2 * HELD_H),
                width=6,
                height=8,
            ),
            Graph([told({name: f"min ring.{name}.held_h.min" for name in RING_CLASSES})]),
        ),
        panels.graph(
            Look(
                "Spool",
                "What is logged and not yet in the robot's store: near 0 while all is well.",
                units.BytesSI,
                NO_HEALTH,
                width=4,
                height=8,
            ),
            Graph([told({"bytes": "max spool.bytes.max"})]),
        ),
        panels.graph(
            Look(
                "Uplink",
                "What leaves the robot, beside what the policy allows.",
                units.BytesPerSecondSI,
                NO_HEALTH,
                width=4,
                height=8,
            ),
            Graph(
                [told({"sent": "mean uplink.bytes_s.mean", "allowed": "max uplink.max_bytes_s.max"})],
                dashed=["allowed"],
            ),
        ),
        panels.graph(
            Look(
                "Dropped, dead letters",
                "Rows dropped since the agent began, and dead letters that wait: both must stay at 0.",
                empty=NO_HEALTH,
                steps=panels.BAD_ABOVE_ZERO,
                width=4,
                height=8,
            ),
            Graph([told({"dropped": "max dropped.max", "dead letters": "max dead_letters.max"})]),
        ),
    ]


def _split(what: dict[str, str]) -> dict[str, tuple[str, str]]:
    return {shown: (text.partition(" ")[0], text.partition(" ")[2]) for shown, text in what.items()}


def _told() -> list[panels.AnyPanel]:
    shown = ("kind", "note", "severity", "by", "duration_s", "id")
    events = f'SELECT {", ".join(map(quoted, shown))} FROM "{EVENTS.name}" {WHERE} ORDER BY time DESC LIMIT 100'
    lines = f'SELECT "level", "stream", "text" FROM "{LOGS.name}" {WHERE} ORDER BY time DESC LIMIT 200'
    columns = {
        "Time": Column("when", units.DatetimeISO, width=160),
        **{name: Column(name, units.String) for name in shown},
        "severity": Column("severity", units.String, width=80),
        "duration_s": Column("lasts", units.Seconds, width=80),
    }
    return [
        panels.rows(
            Look("Events", "Newest first; they stand on the graphs too.", empty="no event", width=12, height=9),
            events,
            columns,
        ),
        panels.rows(
            Look(
                "Log",
                "Lines of log streams as they arrived, newest first.",
                empty="no line of a log has arrived in this range",
                width=12,
                height=9,
            ),
            lines,
            {
                "Time": columns["Time"],
                "level": Column("level", units.String, width=80),
                "stream": Column("stream", units.String, width=120),
                "text": Column("text", units.String),
            },
        ),
    ]


def _commands() -> panels.AnyPanel:
    said = "Commands for a shell that knows the fleet; they follow what is chosen above."
    return panels.words("Fetch what you see", said, COMMANDS, 24, 6)


def _field() -> panels.AnyPanel:
    name = "${field:raw}"
    asked = (
        f'SELECT max("{name}.max") AS "most", mean("{name}.mean") AS "mean", min("{name}.min") AS "least" '
        f'FROM "${{stream:raw}}" {WHERE} {BY_TIME}'
    )
    look = Look(
        "${stream:raw}: ${field:raw}",
        "Least, mean and most of what was recorded, from roll-ups of a second each; the mean is that of the seconds' "
        "means. Every value is in the chunks: `fleetbox query`.",
        units.NoUnit,
        NO_NUMBERS,
        width=24,
        height=9,
        link=CURSOR_OF_FIELD,
    )
    how = Graph([Query(asked)], interval=SECONDS, from_zero=False)
    return panels.graph(look, how).repeat("field").repeat_direction("v")
