"""Fill a board's variables into its queries as Grafana does, so that each can be run without Grafana."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.scalars import Series

_VARIABLE = re.compile(r"\$\{(\w+):(raw|regex)\}")
_SPECIAL = re.compile(r"[\\^$.*+?()\[\]{}|]")  # what Grafana escapes for `:regex`
_NICE_S = (1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400)
POINTS = 1000  # of a graph; what a wide panel asks for


@dataclass(frozen=True, slots=True)
class Filling:
    """Hold a range of time and what people chose; times in ms since the epoch."""

    start_ms: int
    stop_ms: int
    chosen: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def fill(self, influxql: str, least_interval: str = "1s") -> str:
        """Return a query that InfluxDB takes; raise KeyError for a variable that nobody chose."""
        interval = self.interval_s(least_interval)
        text = influxql.replace("$timeFilter", f"time >= {self.start_ms}ms and time <= {self.stop_ms}ms")
        text = text.replace("${__from}", str(self.start_ms)).replace("${__to}", str(self.stop_ms))
        return _VARIABLE.sub(self._value, text.replace("$__interval", f"{interval}s"))

    def interval_s(self, least: str) -> int:
        """Return the length of a graph's buckets as Grafana chooses it."""
        rough = (self.stop_ms - self.start_ms) / 1000 / POINTS
        nice = next((one for one in _NICE_S if one >= rough), _NICE_S[-1])
        return max(nice, _seconds(least))

    def _value(self, match: re.Match[str]) -> str:
        name, form = match.groups()
        value = self.chosen[name]
        if form == "raw":
            return value if isinstance(value, str) else ",".join(value)
        if isinstance(value, str):
            return value  # the text behind "All" goes in as it is
        found = [_SPECIAL.sub(r"\\\g<0>", one) for one in value]
        return found[0] if len(found) == 1 else f"({'|'.join(found)})"


@dataclass(frozen=True, slots=True)
class Asked:
    """Hold one query of a board and where it stands: a panel's title, a variable's or an annotation's name."""

    board: str
    place: str
    kind: str  # panel, variable, annotation
    influxql: str
    least_interval: str = "1s"
    panel: Mapping[str, Any] = field(default_factory=dict)
    keeps: str = ""  # of a variable: the expression that its options must match, as JavaScript writes it

    def options(self, series: Sequence[Series]) -> list[str]:
        """Return a variable's options out of InfluxDB's answer, as Grafana does, in order."""
        at = 1 if "SHOW TAG VALUES" in self.influxql else 0
        found = sorted({str(row[at]) for one in series for row in one.rows})
        if not self.keeps:
            return found
        keeps = re.compile(self.keeps.strip("/"))
        matches = [match for text in found if (match := keeps.search(text))]
        return [match.group(1) if keeps.groups else match.group(0) for match in matches]


def queries(board: Mapping[str, Any]) -> Iterator[Asked]:
    """Yield every query of a built board."""
    uid = board["uid"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            keeps = variable.get("regex") or ""
            yield Asked(uid, variable["name"], "variable", variable["query"], keeps=keeps)
    for marks in board["annotations"]["list"]:
        yield Asked(uid, marks["name"], "annotation", marks["query"])
    for panel in board["panels"]:
        for target in panel.get("targets") or ():
            interval = panel.get("interval") or "1s"
            yield Asked(uid, panel["title"], "panel", target["query"], interval, panel)


def _seconds(text: str) -> int:
    return int(text[:-1]) * {"s": 1, "m": 60, "h": 3600}[text[-1]]
