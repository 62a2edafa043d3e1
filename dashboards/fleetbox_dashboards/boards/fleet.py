"""The board Fleet: how every robot does; the worst twenty by name, never two thousand lines."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from fleetbox.measurements import ROBOTS, STREAMS
from fleetbox_dashboards import panels, variables
from fleetbox_dashboards.asking import newest, of_newest, worst
from fleetbox_dashboards.boards.frame import Frame, to_robot
from fleetbox_dashboards.limits import BELOW_EXPECT, HELD_H, LAG_S, SILENT_S, WORST
from fleetbox_dashboards.panels import Column, Graph, Look, Query
from fleetbox_dashboards.variables import IN_TIME, OF_ROBOTS, OF_SITES

WHERE = f"{OF_SITES} AND {OF_ROBOTS}"
EACH = ("robot", "site")
NAMED = {"robot": Column("robot", units.String, link=to_robot()), "site": Column("site", units.String)}


def fleet() -> Frame:
    """Return the board."""
    return Frame(
        name="fleet",
        title="Fleet",
        description="How every robot does: recording, arriving, holding. The worst stand first.",
        variables=[variables.sites(), variables.robots()],
        panels=[*_counts(), _worst_robots(), _worst_streams(), *_over_time()],
        events_where=WHERE,
    )


def _counts() -> list[panels.AnyPanel]:
    per_robot = newest(ROBOTS, "trouble", ("recording", "age_s"), ("robot",), WHERE)
    sums = newest(ROBOTS, "trouble", ("waiting", "lost", "unexplained", "dead_letters", "held_h"), EACH, WHERE)
    return [
        panels.number(
            Look("Robots", "Robots that the site knows, whether or not they answer.", width=3),
            of_newest('count("trouble") AS "value"', per_robot),
        ),
        panels.number(
            Look(
                "Recording", "Robots whose newest word says that they record.", empty="0", empty_colour="red", width=3
            ),
            of_newest('count("trouble") AS "value"', per_robot, '"recording" = true'),
        ),
        panels.number(
            Look(
                "Silent",
                f"Robots that have told nothing for {SILENT_S:.0f} s. They may be off, or without a link.",
                empty="none",
                steps=panels.BAD_ABOVE_ZERO,
                width=3,
            ),
            of_newest('count("age_s") AS "value"', per_robot, f'"age_s" > {SILENT_S:.0f}'),
        ),
        panels.number(
            Look(
                "Waiting",
                "Records chosen to travel that have not arrived yet, at the newest look.",
                steps=panels.WAITING,
                width=3,
            ),
            of_newest('sum("waiting") AS "value"', sums),
        ),
        panels.number(
            Look(
                "Lost",
                "Records chosen to travel that are gone, as the books say. `fleetbox audit` names them.",
                steps=panels.BAD_ABOVE_ZERO,
                width=3,
            ),
            of_newest('sum("lost") AS "value"', sums),
        ),
        panels.number(
            Look(
                "Unexplained",
                "Records that the books cannot account for: it must be 0. `fleetbox audit` names them.",
                steps=panels.BAD_ABOVE_ZERO,
                width=3,
            ),
            of_newest('sum("unexplained") AS "value"', sums),
        ),
        panels.number(
            Look(
                "Dead letters",
                "Records that their destination will never take. `fleetbox replicate dead-letters` names them.",
                steps=panels.BAD_ABOVE_ZERO,
                width=3,
            ),
            of_newest('sum("dead_letters") AS "value"', sums),
        ),
        panels.number(
            Look(
                "Shortest ring",
                "Hours that the ring of the robot with the shortest one still holds: a pull reaches no further back.",
                units.Hours,
                steps=panels.below(HELD_H, 2 * HELD_H),
                width=3,
            ),
            of_newest('min("held_h") AS "value"', sums),
        ),
    ]


def _worst_robots() -> panels.AnyPanel:
    columns = {
        **NAMED,
        "trouble": Column("trouble", steps=panels.WAITING),
        "recording": Column("recording", units.BoolYesNo, panels.YES_NO),
        "age_s": Column("last word", units.Seconds, panels.above(SILENT_S / 2, SILENT_S)),
        "lag_s": Column("lag", units.Seconds, panels.above(LAG_S, SILENT_S)),
        "held_h": Column("holds", units.Hours, panels.below(HELD_H, 2 * HELD_H)),
        "waiting": Column("waiting", steps=panels.WAITING),
        "refused": Column("refused", steps=panels.BAD_ABOVE_ZERO),
        "lost": Column("lost", steps=panels.BAD_ABOVE_ZERO),
        "unexplained": Column("unexplained", steps=panels.BAD_ABOVE_ZERO),
        "dropped": Column("dropped", steps=panels.WAITING),
        "streams_well": Column("streams well"),
        "streams": Column("of"),
        "dead_letters": Column("dead letters", steps=panels.BAD_ABOVE_ZERO),
    }
    others = [name for name in columns if name not in (*NAMED, "trouble")]
    look = Look(
        f"The {WORST} robots with the most trouble",
        "Each robot's newest word, the worst first; trouble 0 is well. A name leads to the robot's board.",
        width=24,
        height=12,
    )
    return panels.rows(look, worst("trouble", others, EACH, newest(ROBOTS, "trouble", others, EACH, WHERE)), columns)


def _worst_streams() -> panels.AnyPanel:
    inner = (
        'SELECT last("hz") / last("expect_hz") AS "share", last("hz") AS "hz", last("expect_hz") AS "expect_hz" '
        f'FROM "{STREAMS.name}" WHERE {IN_TIME} AND {WHERE} GROUP BY "robot", "site", "stream"'
    )
    columns = {
        **NAMED,
        "stream": Column("stream", units.String, width=160),
        "share": Column("of expected", units.PercentUnit, panels.below(BELOW_EXPECT, 1.0)),
        "hz": Column("comes", panels.HERTZ),
        "expect_hz": Column("expected", panels.HERTZ),
    }
    look = Look(
        f"The {WORST} streams furthest below what is expected",
        "Seen beside what the policy's `expect` says; streams without it are not judged.",
        units.PercentUnit,
        "no stream has an expected rate, or " + panels.NOBODY,
        width=12,
        height=9,
    )
    asked = worst("share", ("hz", "expect_hz"), ("robot", "site", "stream"), inner, lowest=True)
    return panels.rows(look, asked, columns)


def _over_time() -> list[panels.AnyPanel]:
    def each(field: str, how: str = "max") -> str:
        return (
            f'SELECT {how}("{field}") AS "{field}" FROM "{ROBOTS.name}" WHERE {IN_TIME} AND {WHERE} '
            'GROUP BY time($__interval), "robot", "site"'
        )

    def summed(field: str) -> Query:
        asked = of_newest(f'sum("{field}") AS "{field}"', each(field))
        return Query(f"{asked} GROUP BY time($__interval) fill(none)")

    silent = of_newest('count("age_s") AS "silent"', each("age_s", "min"), f'"age_s" > {SILENT_S:.0f}')
    lag = f'FROM "{ROBOTS.name}" WHERE {IN_TIME} AND {WHERE} GROUP BY time($__interval) fill(none)'
    return [
        panels.graph(
            Look(
                "Silent robots",
                f"How many told nothing for {SILENT_S:.0f} s; those that did not record count as well.",
                empty="no robot was silent, or " + panels.NOBODY,
                steps=panels.BAD_ABOVE_ZERO,
                width=12,
                height=9,
            ),
            Graph([Query(f"{silent} GROUP BY time($__interval) fill(0)")]),
        ),
        panels.graph(
            Look(
                "Waiting, lost, unexplained",
                "Sums over the robots chosen. Waiting goes down by itself; the other two must stay at 0.",
                width=12,
                height=9,
            ),
            Graph([summed("waiting"), summed("lost"), summed("unexplained")]),
        ),
        panels.graph(
            Look(
                "Lag",
                "From the recording of a record to its arrival: the slowest robot, and what 95 of 100 stay below.",
                units.Seconds,
                steps=panels.above(LAG_S, SILENT_S),
                width=12,
                height=9,
            ),
            Graph(
                [
                    Query(f'SELECT max("lag_s") AS "slowest" {lag}'),
                    Query(f'SELECT percentile("lag_s", 95) AS "p95" {lag}'),
                ]
            ),
        ),
    ]
