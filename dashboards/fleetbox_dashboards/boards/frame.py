"""What all boards share: identity, tags, links among one another, refresh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grafana_foundation_sdk.builders.dashboard import Dashboard, DashboardLink
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import (
    AnnotationQuery,
    DashboardCursorSync,
    DashboardLinkType,
    Panel,
    VariableModel,
)

from fleetbox.measurements import EVENTS
from fleetbox_dashboards.influxql import CHOSEN
from fleetbox_dashboards.variables import IN_TIME, datasource

TAG = "fleetbox"  # with the prefix of the uid it says which boards are ours
PREFIX = "fleetbox-"
REFRESH = "1m"  # what most panels show changes by the minute


@dataclass(frozen=True, slots=True)
class Frame:
    """Hold a board's name, what it is for, its variables, panels and annotations."""

    name: str  # the uid without its prefix; it never changes, or people's links would break
    title: str
    description: str
    variables: Sequence[Builder[VariableModel]]
    panels: Sequence[Builder[Panel]]
    events_where: str  # which events stand on its graphs
    since: str = "now-6h"
    more: Sequence[DashboardLink] = field(default=())


class EventMarks(AnnotationQuery):
    """Put events on a board's graphs.

    InfluxQL annotations keep their query and columns beside the SDK's fields. The columns are plain names: Grafana
    reads them out of the query's text.
    """

    def __init__(self, where: str) -> None:
        super().__init__(name="events", datasource=CHOSEN, enable=True, icon_color="orange")
        self.query = f'SELECT "note", "kind", "robot" FROM "{EVENTS.name}" WHERE {IN_TIME} AND {where}'

    def to_json(self) -> dict[str, object]:
        """Return what Grafana stores: older versions read the annotation itself, newer ones its target."""
        columns: dict[str, Any] = {"query": self.query, "textColumn": "note", "tagsColumn": "kind,robot"}
        return {**super().to_json(), **columns, "rawQuery": True, "target": {"refId": "events", **columns}}


@dataclass(frozen=True, slots=True)
class _Marks(Builder[AnnotationQuery]):
    marks: EventMarks

    def build(self) -> AnnotationQuery:
        return self.marks


def uid(name: str) -> str:
    """Return a board's uid."""
    return PREFIX + name


def to_robot(column: str = "robot") -> tuple[str, str]:
    """Link a table's row to the robot's own board over the same time."""
    target = f"/d/{uid('robot')}?var-robot=${{__data.fields.{column}}}&${{datasource:queryparam}}&${{__url_time_range}}"
    return "The robot's board", target


def assemble(frame: Frame, datasource_uid: str) -> Dashboard:
    """Return the board, its panels placed in order."""
    board = (
        Dashboard(f"fleetbox: {frame.title}")
        .uid(uid(frame.name))
        .description(frame.description)
        .tags([TAG])
        .timezone("browser")
        .time(frame.since, "now")
        .refresh(REFRESH)
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .editable()
        .variables([datasource(datasource_uid), *frame.variables])
        .annotations([_Marks(EventMarks(frame.events_where))])
        .links([_siblings(), *frame.more])
    )
    for number, panel in enumerate(frame.panels, 1):
        built = panel.build()
        built.id_val = number  # stable, so that a link to one panel survives a new version
        board.with_panel(panel)
    return board


def _siblings() -> DashboardLink:
    link = DashboardLink("fleetbox").type(DashboardLinkType.DASHBOARDS).tags([TAG])
    return link.as_dropdown(False).keep_time(True).include_vars(False).icon("external link").tooltip("").url("")
