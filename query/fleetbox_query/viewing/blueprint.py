"""Turn a layout into Rerun's blueprint: what its viewer opens with."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

from fleetbox_query.viewing.layout import Box, View
from fleetbox_query.viewing.stage import TIMELINE

MOST_COLUMNS = 4  # of views: in narrower ones titles and legends do not fit on a laptop
WIDE = 1.5  # a page is so much wider than high
ZOOM = 17.0  # a street block: where a robot drives within a minute


@dataclass(frozen=True, slots=True)
class Focus:
    """Say around which moment the viewer marks a stretch on its clock and plays it; in µs since the epoch."""

    moment_us: int
    start_us: int
    stop_us: int


def blueprint_of(found: Box | View | None, focus: Focus | None = None) -> Any:
    """Return a layout as a blueprint; without any the viewer makes views of its own."""
    import rerun.blueprint as rrb

    parts = [] if found is None else [_part(found)]
    marked: dict[str, Any] = {}
    if focus is not None:
        stretch = rrb.components.AbsoluteTimeRange(focus.start_us * 1000, focus.stop_us * 1000)
        marked = {"time_selection": stretch, "loop_mode": "selection", "play_state": "playing"}
    return rrb.Blueprint(
        *parts,
        rrb.BlueprintPanel(state="collapsed"),
        rrb.SelectionPanel(state="collapsed"),
        rrb.TimePanel(state="collapsed", timeline=TIMELINE, **marked),
        auto_views=found is None,
        auto_layout=found is None,
    )


def _part(one: Box | View) -> Any:
    import rerun.blueprint as rrb

    if isinstance(one, View):
        return _view(one)
    parts, name = [_part(part) for part in one.parts], one.name or None
    shares = list(one.shares) or None
    if one.arrangement == "tabs":
        return rrb.Tabs(*parts, name=name, active_tab=0)
    if one.arrangement == "grid":
        return rrb.Grid(*parts, name=name, grid_columns=min(MOST_COLUMNS, ceil(sqrt(len(parts)) * WIDE)))
    if one.arrangement == "rows":
        return rrb.Vertical(*parts, name=name, row_shares=shares)
    return rrb.Horizontal(*parts, name=name, column_shares=shares)


def _view(view: View) -> Any:
    import rerun.blueprint as rrb

    name, paths = view.name, list(view.paths)
    match view.kind:
        case "curve":
            axis = rrb.archetypes.TimeAxis(link="LinkToGlobal")  # moving one moves all: they share a clock
            return rrb.TimeSeriesView(name=name, contents=paths, axis_x=axis)
        case "state":
            return rrb.StateTimelineView(name=name, contents=paths)
        case "picture":
            return rrb.Spatial2DView(origin=paths[0], contents="$origin", name=name)
        case "space":
            inside = ["$origin", "$origin/axes", "$origin/track/**"]
            return rrb.Spatial3DView(origin=paths[0], contents=inside, name=name)
        case "place":
            return rrb.MapView(contents=[*paths, *(f"{path}/track/**" for path in paths)], name=name, zoom=ZOOM)
        case "line":
            return rrb.TextLogView(name=name, contents=paths)
        case "sound":
            return rrb.AudioView(name=name, contents=paths)
        case "chart":
            return rrb.BarChartView(name=name, contents=paths)
    return rrb.TextDocumentView(name=name, contents=paths)
