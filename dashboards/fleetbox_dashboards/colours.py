"""What colours and words stand for: a series looks the same on every board, and bad is never green."""

from __future__ import annotations

import re
from collections.abc import Mapping

from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import (
    DashboardSpecialValueMapOptions,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

SERIES: Mapping[str, str] = {
    "waiting": "yellow",
    "refused": "orange",
    "lost": "red",
    "unexplained": "purple",
    "dropped": "dark-orange",
    "dead letters": "red",
    "silent": "red",
    "slowest": "orange",
    "highest": "orange",
    "p95": "yellow",
    "most": "orange",
    "mean": "green",
    "least": "blue",
    "expected": "text",
    "allowed": "text",
}
DECIMALS: Mapping[str, int] = {units.Seconds: 1, units.Hours: 1}  # else 0.5 h is written as 0.500 hour
NOTHING = "-"  # in a cell without a value; the panel's words for an empty range would stand in each of them
_COLUMN = re.compile(r'AS "([^"]+)"')

# Grafana writes true and false whatever the unit says; a mapping it heeds.
YES_OR_NO: list[ValueMapping] = [
    ValueMap({"true": ValueMappingResult("Yes", "green", index=0), "false": ValueMappingResult("No", "red", index=1)})
]


def nothing(text: str, colour: str) -> ValueMapping:
    """Return what stands for a value that is not there; it would have the colour of the lowest threshold."""
    result = ValueMappingResult(text, colour, index=2)  # after yes and no
    return SpecialValueMap(DashboardSpecialValueMapOptions(SpecialValueMatch.NULL_AND_NAN, result))


def of_series(influxql: str) -> dict[str, list[DynamicConfigValue]]:
    """Return for each column of a query whose colour means something the property that gives it."""
    outer = influxql.partition(" FROM ")[0]
    known = [name for name in _COLUMN.findall(outer) if name in SERIES]
    return {name: [DynamicConfigValue("color", {"mode": "fixed", "fixedColor": SERIES[name]})] for name in known}


COLOURLESS: list[ValueMapping] = [nothing(NOTHING, "text")]  # red of the lowest threshold, where little is bad
