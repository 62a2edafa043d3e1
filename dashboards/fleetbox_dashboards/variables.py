"""Variables that boards share, and the conditions that use them.

Conditions name each variable's format (`:raw`, `:regex`), so that no version of Grafana quotes it another way: a stream
called `cam/front` must not become `cam\\/front`.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import DatasourceVariable, QueryVariable, TextBoxVariable
from grafana_foundation_sdk.models.dashboard import VariableHide, VariableOption, VariableRefresh, VariableSort

from fleetbox.measurements import BOOKS, EVENTS, HEALTH_STREAMS, RESERVED, ROBOTS, SITES
from fleetbox_dashboards.influxql import CHOSEN, DATASOURCE_TYPE

IN_TIME = "$timeFilter"
OF_SITES = '"site" =~ /^${site:regex}$/'
OF_ROBOTS = '"robot" =~ /.*${robots:raw}/'
OF_ROBOT = "\"robot\" = '${robot:raw}'"
OF_KINDS = '"kind" =~ /^${kind:regex}$/'
SHOWN_ROBOTS = 200  # options of a list; 2,000 nobody scrolls through: the box before it narrows them down


def datasource(uid: str) -> DatasourceVariable:
    """Let a person choose whose numbers to see; `uid` is what the board opens with."""
    current = VariableOption(selected=True, text=uid, value=uid)
    return DatasourceVariable("datasource").label("Numbers of").type(DATASOURCE_TYPE).current(current)


def sites() -> QueryVariable:
    """Choose sites; all of them at first."""
    return _every(_query("site", f'SHOW TAG VALUES FROM "{SITES.name}" WITH KEY = "site"').label("Site"))


def kinds() -> QueryVariable:
    """Choose kinds of events; all of them at first."""
    return _every(_query("kind", f'SHOW TAG VALUES FROM "{EVENTS.name}" WITH KEY = "kind"').label("Kind"))


def robots() -> TextBoxVariable:
    """Narrow a board down to robots whose name holds a text; everything while it is empty."""
    return TextBoxVariable("robots").label("Robots with").description("Part of a name, or a regular expression.")


def find() -> TextBoxVariable:
    """Narrow the list of robots down."""
    return TextBoxVariable("find").label("Find").description("Part of a robot's name: narrows the list beside it down.")


def robot() -> QueryVariable:
    """Choose one robot of those that `find` leaves."""
    text = f'SHOW TAG VALUES FROM "{ROBOTS.name}" WITH KEY = "robot" WHERE "robot" =~ /.*${{find:raw}}/'
    return _query("robot", f"{text} LIMIT {SHOWN_ROBOTS}").label("Robot")


def stream() -> QueryVariable:
    """Choose a stream with numbers: its measurement is its name. What agents measure has panels of its own."""
    own = "|".join(sorted(RESERVED | HEALTH_STREAMS)).replace("/", r"\/")  # a / would end the expression
    return _query("stream", f"SHOW MEASUREMENTS WHERE {OF_ROBOT}").label("Stream").regex(f"/^(?!(?:{own})$).+/")


def fields() -> QueryVariable:
    """Choose fields of the stream; each has its panel."""
    text = 'SHOW FIELD KEYS FROM "${stream:raw}"'
    return _query("field", text).label("Field").regex(r"/^(.*)\.mean$/").multi(True).include_all(True)


def camera() -> QueryVariable:
    """Choose a stream of pictures, for the command that fetches one."""
    text = f'SHOW TAG VALUES FROM "{BOOKS.name}" WITH KEY = "stream" WHERE {OF_ROBOT} AND "class" = \'media\''
    return _query("camera", text).label("Frames of")


def at() -> TextBoxVariable:
    """Hold the moment that a click on a graph has chosen, in ms since the epoch."""
    return TextBoxVariable("at").label("At").default_value("now").hide(VariableHide.HIDE_VARIABLE)


def _query(name: str, influxql: str) -> QueryVariable:
    return (
        QueryVariable(name)
        .datasource(CHOSEN)
        .query(influxql)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
    )


def _every(variable: QueryVariable) -> QueryVariable:
    current = VariableOption(selected=True, text="All", value="$__all")
    return variable.multi(True).include_all(True).all_value(".*").current(current)
