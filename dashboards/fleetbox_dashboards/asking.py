"""Pieces of InfluxQL that boards share: the newest point of each, and the worst of many."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.measurements import Measurement
from fleetbox_dashboards.limits import FINE_MS, WORST
from fleetbox_dashboards.variables import IN_TIME


def newest(measurement: Measurement, leading: str, others: Sequence[str], by: Sequence[str], where: str) -> str:
    """Return the newest point of each group that has the leading field, with other fields of the same point."""
    taken = "".join(f", {quoted(name)}" for name in others)
    return (
        f"SELECT last({quoted(leading)}) AS {quoted(leading)}{taken} FROM {quoted(measurement.name)} "
        f"WHERE {IN_TIME} AND {where} GROUP BY {listed(by)}"
    )


def either(fine: Measurement | str, coarse: Measurement) -> tuple[str, str]:
    """Return two measurements to select from, and the condition that reads one: the coarse one for ranges beyond a day.

    Grafana fills in numbers, so InfluxDB folds the comparison and opens nothing of the other one.
    """
    name = fine if isinstance(fine, str) else fine.name
    span = "${__to} - ${__from}"
    condition = f"(\"_name\" = '{name}' AND {span} <= {FINE_MS} OR \"_name\" = '{coarse.name}' AND {span} > {FINE_MS})"
    return f"{quoted(name)}, {quoted(coarse.name)}", condition


def of_newest(what: str, inner: str, having: str = "") -> str:
    """Ask about the rows of a subquery."""
    condition = f" AND {having}" if having else ""
    return f"SELECT {what} FROM ({inner}) WHERE {IN_TIME}{condition}"


def worst(leading: str, others: Sequence[str], by: Sequence[str], inner: str, lowest: bool = False) -> str:
    """Return the rows of a subquery with the highest (or lowest) leading field, tags as columns."""
    taken = "".join(f", {quoted(name)}" for name in others)
    choose = "bottom" if lowest else "top"
    return of_newest(f"{choose}({quoted(leading)}, {listed(by)}, {WORST}) AS {quoted(leading)}{taken}", inner)


def quoted(name: str) -> str:
    """Return a name as InfluxQL wants it."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def listed(names: Sequence[str]) -> str:
    """Return names, quoted and with commas."""
    return ", ".join(quoted(name) for name in names)
