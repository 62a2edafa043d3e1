"""Run every query of every board on a site's InfluxDB, so that an empty panel is found before somebody looks at it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fleetbox.errors import StoreRefused
from fleetbox.scalars import ScalarStore
from fleetbox_dashboards.alerts import alerts
from fleetbox_dashboards.building import boards
from fleetbox_dashboards.filling import Asked, Filling, queries

ALL: Mapping[str, str] = {"site": ".*", "kind": ".*", "robots": "", "find": "", "at": "now"}


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold what came of one query."""

    asked: Asked
    rows: int
    took_s: float
    fault: str = ""

    def told(self) -> dict[str, Any]:
        """Return the answer as `--json` shows it."""
        asked = self.asked
        return {
            "board": asked.board,
            "place": asked.place,
            "kind": asked.kind,
            "rows": self.rows,
            "took_s": round(self.took_s, 4),
            "fault": self.fault,
        }


async def check(scalars: ScalarStore, start_ms: int, stop_ms: int, robot: str | None = None) -> list[Answer]:
    """Return an answer for each query of each board and each alert, in their order.

    The board of one robot is asked about `robot`, else about the first that it lists.
    """
    found: list[Answer] = []
    for board in boards().values():
        asked = list(queries(board))
        filling = Filling(start_ms, stop_ms, await _chosen(scalars, asked, Filling(start_ms, stop_ms, ALL), robot))
        found += [await _answer(scalars, one, filling) for one in asked]
    now = f"{stop_ms}ms"  # an alert asks up to now: as of the end of the range, like the boards
    rules = [Asked("alerts", alert.title, "alert", alert.influxql.replace("now()", now)) for alert in alerts()]
    return found + [await _answer(scalars, one, Filling(start_ms, stop_ms)) for one in rules]


async def _chosen(scalars: ScalarStore, asked: list[Asked], filling: Filling, robot: str | None) -> dict[str, Any]:
    """Choose for each variable the first that its query lists, as a board does when it is opened."""
    chosen: dict[str, Any] = {**filling.chosen, "robot": robot or "", "stream": "", "field": "", "camera": ""}
    for one in asked:
        if one.kind != "variable" or chosen.get(one.place):
            continue
        options = one.options(
            await scalars.query(Filling(filling.start_ms, filling.stop_ms, chosen).fill(one.influxql))
        )
        chosen[one.place] = next(iter(options), "")
    return chosen


async def _answer(scalars: ScalarStore, asked: Asked, filling: Filling) -> Answer:
    started = time.monotonic()
    try:
        series = await scalars.query(filling.fill(asked.influxql, asked.least_interval))
    except StoreRefused as error:
        return Answer(asked, 0, time.monotonic() - started, error.message)
    return Answer(asked, sum(len(one.rows) for one in series), time.monotonic() - started)
