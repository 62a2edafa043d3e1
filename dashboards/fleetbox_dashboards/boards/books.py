"""The board Books: the balance per hop, dead letters by reason, relays and reconcilers."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from fleetbox.measurements import BOOKS, BOOKS_HOURS, DEAD_LETTERS, RELAY
from fleetbox_dashboards import panels, variables
from fleetbox_dashboards.asking import either, of_newest, quoted, worst
from fleetbox_dashboards.boards.frame import Frame, to_robot
from fleetbox_dashboards.limits import WORST
from fleetbox_dashboards.panels import Column, Graph, Look, Query
from fleetbox_dashboards.variables import IN_TIME, OF_ROBOTS, OF_SITES

WHERE = f"{OF_SITES} AND {OF_ROBOTS}"
IN_RANGE = f"WHERE {IN_TIME} AND {WHERE}"
FROM, RESOLUTION = either(BOOKS, BOOKS_HOURS)
OF_BOOKS = f"FROM {FROM} {IN_RANGE} AND {RESOLUTION}"
NO_BOOKS = "no page of the ledger tells of this range"
SUMS = (
    "recorded",
    "kept_on_robot",
    "selected",
    "arrived",
    "waiting",
    "refused",
    "lost",
    "unexplained",
    "dropped",
    "missing",
)
BAD = ("refused", "lost", "unexplained", "dropped", "missing")
COLUMNS = {
    name: Column(
        name.replace("_", " "),
        steps=panels.BAD_ABOVE_ZERO if name in BAD else panels.WAITING if name == "waiting" else panels.FINE,
    )
    for name in SUMS
}
SITE = {"site": Column("hop to", units.String)}
ROBOT = {"robot": Column("robot", units.String, link=to_robot())}


def books() -> Frame:
    """Return the board."""
    return Frame(
        name="books",
        title="Books",
        description="recorded = selected + kept on robot; selected = arrived + waiting + refused + lost + unexplained. "
        "Ranges of more than 25 hours are added up of whole hours, five minutes behind.",
        variables=[variables.sites(), variables.robots()],
        panels=[*_sums(), _per_hop(), *_over_time(), _worst_robots(), _worst_streams(), *_dead_letters(), *_relay()],
        events_where=WHERE,
        since="now-24h",
    )


def _sums() -> list[panels.AnyPanel]:
    def total(name: str) -> str:
        return f'SELECT sum("{name}") AS "value" {OF_BOOKS}'

    said = {
        "selected": "Records that the policy chose to travel, counted on each hop.",
        "arrived": "Records that are readable where their hop leads.",
        "waiting": "Records on their way. They arrive once the link and the destination allow.",
        "refused": "Records that a destination will not take; each has a reason.",
        "lost": "Records that are gone: it must be 0.",
        "unexplained": "Records that nobody can account for: it must be 0.",
    }
    return [
        panels.number(Look(name.capitalize(), text, empty=NO_BOOKS, steps=COLUMNS[name].steps), total(name))
        for name, text in said.items()
    ]


def _per_hop() -> panels.AnyPanel:
    taken = ", ".join(f'sum("{name}") AS "{name}"' for name in SUMS)
    settled = " - ".join(f'sum("{name}")' for name in ("arrived", "waiting", "refused", "lost", "unexplained"))
    asked = f'SELECT {taken}, sum("selected") - {settled} AS "open" {OF_BOOKS} GROUP BY "site"'
    columns = {**SITE, **COLUMNS, "open": Column("open", steps=panels.WAITING)}
    look = Look(
        "The balance of each hop",
        "Minutes of this range, added up. `open` is what the equation leaves over: 0 once both ends have told. Only a "
        "robot's first hop counts what it recorded.",
        empty=NO_BOOKS,
        width=24,
        height=6,
    )
    return panels.rows(look, asked, columns)


def _over_time() -> list[panels.AnyPanel]:
    def summed(*names: str) -> str:
        taken = ", ".join(f'sum("{name}") AS "{name}"' for name in names)
        return f"SELECT {taken} {OF_BOOKS} GROUP BY time($__interval)"

    per_hop = Query(f'{summed("selected", "arrived")}, "site" fill(none)', "$col to $tag_site")
    reasons = Query(summed("waiting", "refused", "lost", "unexplained", "dropped") + " fill(none)")

    return [
        panels.graph(
            Look(
                "Selected and arrived",
                "Per hop, at the minute of recording: where `arrived` stays behind, records wait or are lost.",
                empty=NO_BOOKS,
                width=12,
                height=9,
            ),
            Graph([per_hop]),
        ),
        panels.graph(
            Look(
                "What has not arrived, and why",
                "All hops chosen, at the minute of recording. Waiting goes away by itself, also hours later.",
                empty=NO_BOOKS,
                steps=panels.BAD_ABOVE_ZERO,
                width=12,
                height=9,
            ),
            Graph([reasons], bars=True),
        ),
    ]


def _worst_robots() -> panels.AnyPanel:
    by, others = ("robot", "site"), ("selected", "arrived", "waiting", "refused", "dropped")
    columns = {**ROBOT, **SITE, "bad": Column("lost or unexplained", steps=panels.BAD_ABOVE_ZERO, width=150)}
    columns |= {name: COLUMNS[name] for name in others}
    look = Look(
        f"The {WORST} robots that lost most",
        "A name leads to the robot's board.",
        empty=NO_BOOKS,
        width=12,
        height=10,
    )
    return panels.rows(look, worst("bad", others, by, _bad(others, by)), columns)


def _worst_streams() -> panels.AnyPanel:
    by, others = ("robot", "site", "stream"), ("selected", "arrived", "waiting", "missing")
    columns = {**ROBOT, **SITE, "stream": Column("stream", units.String, width=160)}
    columns |= {"bad": Column("lost or unexplained", steps=panels.BAD_ABOVE_ZERO, width=150)}
    columns |= {name: COLUMNS[name] for name in others}
    look = Look(
        f"The {WORST} streams that lost most",
        "`missing` counts what `expect` promised and nobody recorded.",
        empty=NO_BOOKS,
        width=12,
        height=10,
    )
    return panels.rows(look, worst("bad", others, by, _bad(others, by)), columns)


def _bad(others: tuple[str, ...], by: tuple[str, ...]) -> str:
    taken = "".join(f', sum("{name}") AS "{name}"' for name in others)
    grouped = ", ".join(map(quoted, by))
    return f'SELECT sum("lost") + sum("unexplained") AS "bad"{taken} {OF_BOOKS} GROUP BY {grouped}'


def _dead_letters() -> list[panels.AnyPanel]:
    newest = (
        f'SELECT last("letters") AS "letters", last("oldest_s") AS "oldest_s" FROM "{DEAD_LETTERS.name}" {IN_RANGE} '
        'GROUP BY "robot", "site", "reason"'
    )
    columns = {
        "reason": Column("reason", units.String),
        "site": Column("site", units.String),
        "letters": Column("letters", steps=panels.BAD_ABOVE_ZERO),
        "oldest_s": Column("oldest", units.Seconds),
    }
    summed = of_newest('sum("letters") AS "letters", max("oldest_s") AS "oldest_s"', newest)
    each = (
        f'SELECT max("letters") AS "letters" FROM "{DEAD_LETTERS.name}" {IN_RANGE} '
        'GROUP BY time($__interval), "robot", "site", "reason"'
    )
    over_time = of_newest('sum("letters")', each) + ' GROUP BY time($__interval), "reason" fill(none)'
    empty = "no dead letter waits"
    return [
        panels.rows(
            Look(
                "Dead letters by reason",
                "Records that a destination refuses: let through by name, or held until it takes them. "
                "`fleetbox replicate dead-letters` names them and the next step. 0: they have arrived since.",
                empty=empty,
                width=12,
                height=7,
            ),
            summed + ' GROUP BY "reason", "site"',
            columns,
        ),
        panels.graph(
            Look(
                "Dead letters over time",
                "How many wait, by reason, let through or held.",
                empty=empty,
                steps=panels.BAD_ABOVE_ZERO,
                width=12,
                height=7,
            ),
            Graph([Query(over_time, "$tag_reason")], bars=True),
        ),
    ]


def _relay() -> list[panels.AnyPanel]:
    by = 'GROUP BY time($__interval), "robot", "site"'
    over = 'GROUP BY time($__interval), "site" fill(none)'

    def summed(name: str, how: str) -> str:
        inner = f'SELECT {how}("{name}") AS "{name}" FROM "{RELAY.name}" {IN_RANGE} {by}'
        return of_newest(f'sum("{name}") AS "{name}"', inner) + f" {over}"

    held = f'SELECT count("bytes_s") AS "held" FROM "{RELAY.name}" {IN_RANGE} AND "held" = true {over}'
    empty = "no relay has told anything in this range"
    return [
        panels.graph(
            Look(
                "Relay: bytes", "What leaves each site for the next.", units.BytesPerSecondSI, empty, width=6, height=8
            ),
            Graph([Query(summed("bytes_s", "mean"), "$tag_site")]),
        ),
        panels.graph(
            Look(
                "Relay: records",
                "Records a second that the next place has confirmed.",
                units.CountsPerSecond,
                empty,
                width=6,
                height=8,
            ),
            Graph([Query(summed("records_s", "mean"), "$tag_site")]),
        ),
        panels.graph(
            Look(
                "Relay: held",
                "Looks that found a relay holding a robot's records back, as the next place refuses them: it is full, "
                "a bucket or a right is missing. `fleetbox replicate status` says why.",
                empty="none was held",
                steps=panels.WAITING,
                width=6,
                height=8,
            ),
            Graph([Query(held, "$tag_site")], bars=True),
        ),
        panels.graph(
            Look(
                "Reconciler",
                "Records it found missing at the next place, and those it has copied there.",
                empty="no reconciler has told anything in this range",
                width=6,
                height=8,
            ),
            Graph([Query(summed(name, "max"), f"{name} $tag_site") for name in ("missing", "copied")]),
        ),
    ]
