"""What panels look like: each has a unit, thresholds, a description and words for an empty range."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, geomap, stat, table, text, timeseries
from grafana_foundation_sdk.builders.dashboard import DashboardLink, FieldColor, ThresholdsConfig
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    FrameGeometrySourceMode,
    GraphDrawStyle,
    GraphTresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
    VizOrientation,
)
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Panel,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.text import TextMode

from fleetbox_dashboards.colours import COLOURLESS, DECIMALS, NOTHING, YES_OR_NO, nothing, of_series
from fleetbox_dashboards.influxql import CHOSEN, Built, InfluxQL

AnyPanel = Builder[Panel]
Dressed = TypeVar("Dressed", bargauge.Panel, geomap.Panel, stat.Panel, table.Panel, timeseries.Panel)
Steps = Sequence[tuple[float | None, str]]
FINE: Steps = ((None, "green"),)
BAD_ABOVE_ZERO: Steps = ((None, "green"), (1, "red"))
WAITING: Steps = ((None, "green"), (1, "yellow"))
YES_NO = ((None, "red"), (1, "green"))
NOBODY = "no robot has reported in this range"
MIN_INTERVAL = "1m"  # the ledger tells by the minute; finer buckets would be empty every other time
REFS = "ABCDEFGHIJKLMNOP"
COUNT = units.LocaleFormat  # 33,120 and not 33.1 K: two numbers that must be equal are compared by eye
HERTZ = "suffix:Hz"  # Grafana's own would write 167 mHz for a look every 6 s
COUNTED: tuple[Steps, ...] = (FINE, BAD_ABOVE_ZERO, WAITING)  # no line at 1 across a graph: it would say nothing
NARROW, NAME = 70, 100  # px of a column at least; Grafana's own 150 pushes half of a table out of sight


def above(warn: float, bad: float | None = None) -> Steps:
    """Return thresholds: yellow from `warn` and red from `bad`, or red from `warn` at once."""
    return ((None, "green"), (warn, "red")) if bad is None else ((None, "green"), (warn, "yellow"), (bad, "red"))


def below(bad: float, warn: float) -> Steps:
    """Return thresholds: red below `bad`, yellow below `warn`."""
    return ((None, "red"), (bad, "yellow"), (warn, "green"))


@dataclass(frozen=True, slots=True)
class Look:
    """Say what a panel is for and how its values are shown."""

    title: str
    description: str
    unit: str = units.Short
    empty: str = NOBODY
    steps: Steps = FINE
    width: int = 4
    height: int = 4
    link: tuple[str, str] | None = None  # title and URL behind each value
    empty_colour: str = "text"  # of a large number that is not there: green would say that all is well


@dataclass(frozen=True, slots=True)
class Column:
    """Say how one column of a table is shown."""

    shown: str
    unit: str = COUNT
    steps: Steps = FINE
    link: tuple[str, str] | None = None
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Hold a query and what its series are called."""

    influxql: str
    alias: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Say how a graph draws."""

    queries: Sequence[Query]
    bars: bool = False
    interval: str = MIN_INTERVAL
    from_zero: bool = True  # stacked bars and rates lie without it; values of sensors are below it as well
    dashed: Sequence[str] = field(default=())  # series drawn as dashes: what should be, beside what is


def number(look: Look, influxql: str) -> stat.Panel:
    """Return one large number: the column `value`, which may be true or false as well."""
    panel = (
        _dress(stat.Panel(), look, [InfluxQL(influxql, "table")])
        .unit(COUNT if look.unit == units.Short else look.unit)
        .color_mode(BigValueColorMode.VALUE)
        .graph_mode(BigValueGraphMode.NONE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).fields("/^value$/").values(False))
    )
    if look.unit in DECIMALS:
        panel.decimals(DECIMALS[look.unit])
    words = YES_OR_NO if look.unit == units.BoolYesNo else []
    return panel.mappings([*words, nothing(look.empty, look.empty_colour)])


def graph(look: Look, how: Graph) -> timeseries.Panel:
    """Return lines over time, or stacked bars."""
    targets = [
        InfluxQL(query.influxql, "time_series", ref, query.alias or "$col")
        for ref, query in zip(REFS, how.queries, strict=False)
    ]
    panel = (
        _dress(timeseries.Panel(), look, targets)
        .interval(how.interval)
        .color_scheme(FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
        .legend(_legend())
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
        .fill_opacity(10)
        .span_nulls(False)
    )
    if how.from_zero:
        panel.axis_soft_min(0)
    if look.unit == units.Percent:
        panel.min(0).max(100)
    if look.steps not in COUNTED:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(GraphTresholdsStyleMode.DASHED))
    if how.bars:
        panel.draw_style(GraphDrawStyle.BARS).fill_opacity(80)
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL).group("A"))
    for query in how.queries:
        for name, colour in of_series(query.influxql if not query.alias else "").items():
            panel.override_by_name(name, colour)
    for name in how.dashed:
        dash = {"fill": "dash", "dash": [10, 10]}
        panel.override_by_name(name, [DynamicConfigValue("custom.lineStyle", dash)])
    return panel


def rows(look: Look, influxql: str, columns: Mapping[str, Column], hidden: Sequence[str] = ()) -> table.Panel:
    """Return a table with the columns in this order; `hidden` are there for links only."""
    panel = _dress(table.Panel(), look, [InfluxQL(influxql, "table")])
    for name, column in columns.items():
        panel.override_by_name(name, _properties(column))
    for name in hidden:
        panel.override_by_name(name, [DynamicConfigValue("custom.hidden", True)])
    order = {name: place for place, name in enumerate([*columns, *hidden])}
    options = {"indexByName": order, "excludeByName": {} if "Time" in columns else {"Time": True}}
    return panel.with_transformation(DataTransformerConfig("organize", options=options)).show_header(True)


def bars(look: Look, influxql: str) -> bargauge.Panel:
    """Return one bar per row of a table with a name and a number."""
    return (
        _dress(bargauge.Panel(), look, [InfluxQL(influxql, "table")])
        .orientation(VizOrientation.HORIZONTAL)
        .min(0)  # else the shortest bar has no length
        .text(common.VizTextDisplayOptions().title_size(14).value_size(14))  # else two bars fill the panel with text
        .reduce_options(common.ReduceDataOptions().values(True).calcs(["lastNotNull"]).fields(""))
    )


def places(look: Look, influxql: str) -> geomap.Panel:
    """Return a map with a marker where `lat` and `lon` say."""
    where = common.FrameGeometrySource().mode(FrameGeometrySourceMode.COORDS).latitude("lat").longitude("lon")
    layer = common.MapLayerOptions().type("markers").name("events").location(where).tooltip(True)
    return _dress(geomap.Panel(), look, [InfluxQL(influxql, "table")]).layers([layer])


def words(title: str, description: str, content: str, width: int = 24, height: int = 4) -> text.Panel:
    """Return text with variables filled in."""
    panel = text.Panel().title(title).description(description).mode(TextMode.MARKDOWN).content(content)
    return panel.span(width).height(height).transparent(True)


def _dress(panel: Dressed, look: Look, targets: Sequence[InfluxQL]) -> Dressed:
    panel.title(look.title).description(look.description).datasource(CHOSEN)
    panel.unit(look.unit).no_value(look.empty).thresholds(_thresholds(look.steps))
    panel.targets([Built(target) for target in targets]).span(look.width).height(look.height)
    if look.link:
        panel.data_links([DashboardLink(look.link[0]).url(look.link[1])])
    return panel


def _thresholds(steps: Steps) -> ThresholdsConfig:
    found = [Threshold(value, color) for value, color in steps]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(found)


def _properties(column: Column) -> list[DynamicConfigValue]:
    found = [DynamicConfigValue("displayName", column.shown), DynamicConfigValue("unit", column.unit)]
    found.append(DynamicConfigValue("noValue", NOTHING))
    if column.unit in DECIMALS:
        found.append(DynamicConfigValue("decimals", DECIMALS[column.unit]))
    if column.steps != FINE:
        steps = {"mode": "absolute", "steps": [{"value": value, "color": color} for value, color in column.steps]}
        found.append(DynamicConfigValue("thresholds", steps))
        found.append(DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        found.append(DynamicConfigValue("mappings", YES_OR_NO if column.unit == units.BoolYesNo else COLOURLESS))
    if column.link:
        found.append(DynamicConfigValue("links", [{"title": column.link[0], "url": column.link[1]}]))
    size = (
        ("custom.width", column.width)
        if column.width
        else ("custom.minWidth", NAME if column.unit == units.String else NARROW)
    )
    return [*found, DynamicConfigValue(*size)]


def _legend() -> common.VizLegendOptions:
    return (
        common.VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs([])
    )
