"""The board Host: processor, memory, disk and temperature of robots and sites."""

from __future__ import annotations

from grafana_foundation_sdk.models import units

from fleetbox.measurements import HOST_HOURS, HOST_STREAM, SITES
from fleetbox_dashboards import panels, variables
from fleetbox_dashboards.asking import either, of_newest, worst
from fleetbox_dashboards.boards.frame import Frame, to_robot
from fleetbox_dashboards.limits import BUSY, DISK_FULL, HOT_C, WORST
from fleetbox_dashboards.panels import Column, Graph, Look, Query
from fleetbox_dashboards.variables import IN_TIME, OF_ROBOTS, OF_SITES

WHERE = f"{OF_SITES} AND {OF_ROBOTS}"
FROM, RESOLUTION = either(HOST_STREAM, HOST_HOURS)
OF_ROBOTS_HEALTH = f"FROM {FROM} WHERE {IN_TIME} AND {WHERE} AND {RESOLUTION}"
NO_HEALTH = "no robot has told how its machine stands: is `[agent] health` off?"
NO_SITE = "no site has reported in this range"
NO_HEAT = "no machine has told a temperature: many have no sensor"
BUSY_STEPS = panels.above(BUSY * 0.8, BUSY)
DISK_STEPS = panels.above(DISK_FULL * 0.9, DISK_FULL)
HEAT_STEPS = panels.above(HOT_C - 10, HOT_C)


def host() -> Frame:
    """Return the board."""
    return Frame(
        name="host",
        title="Host",
        description="Processor, memory, disk and temperature of robots and sites. Ranges of more than 25 hours show "
        "robots by the hour, ten minutes behind.",
        variables=[variables.sites(), variables.robots()],
        panels=[*_sites(), _worst_robots(), *_robots()],
        events_where=WHERE,
    )


def _sites() -> list[panels.AnyPanel]:
    shown = {
        "cpu": Column("CPU", units.Percent, BUSY_STEPS),
        "ram": Column("memory", units.Percent, BUSY_STEPS),
        "disk": Column("disk", units.Percent, DISK_STEPS),
        "disk_free_bytes": Column("free", units.BytesSI),
        "temp_c": Column("temperature", units.Celsius, HEAT_STEPS),
        "load1": Column("load"),
        "points_s": Column("points", units.CountsPerSecond),
        "refused": Column("points refused", steps=panels.WAITING),
        "store_bytes": Column("store", units.BytesSI),
    }
    taken = ", ".join(f'last("{name}") AS "{name}"' for name in shown)
    newest = f'SELECT {taken} FROM "{SITES.name}" WHERE {IN_TIME} AND {OF_SITES} GROUP BY "site"'
    look = Look(
        "Sites",
        "The newest word of each site about its machine, its loader and its store.",
        empty=NO_SITE,
        width=24,
        height=6,
    )
    return [
        panels.rows(look, newest, {"site": Column("site", units.String), **shown}),
        _site_graph("Sites: CPU", "How busy the processor is.", "cpu", BUSY_STEPS),
        _site_graph("Sites: memory", "How much memory is taken.", "ram", BUSY_STEPS),
        _site_graph("Sites: disk", "How full the disk is that holds the store.", "disk", DISK_STEPS),
        _site_graph("Sites: temperature", "The hottest sensor.", "temp_c", HEAT_STEPS, units.Celsius),
        _site_graph("Loader: points", "Points a second that InfluxDB took.", "points_s", unit=units.CountsPerSecond),
        _site_graph("Loader: refused", "Points refused; `fleetbox site status` says why.", "refused", unit=units.Short),
    ]


def _site_graph(
    title: str, description: str, name: str, steps: panels.Steps = panels.FINE, unit: str = units.Percent
) -> panels.AnyPanel:
    by = 'GROUP BY time($__interval), "site" fill(none)'
    asked = f'SELECT max("{name}") FROM "{SITES.name}" WHERE {IN_TIME} AND {OF_SITES} {by}'
    empty = NO_HEAT if unit == units.Celsius else NO_SITE
    look = Look(title, description, unit, empty, steps, width=4, height=8)
    return panels.graph(look, Graph([Query(asked, "$tag_site")]))


def _worst_robots() -> panels.AnyPanel:
    names = ("disk", "cpu", "ram", "temp_c", "load1", "disk_free_bytes")
    taken = ", ".join(f'last("{name}.last") AS "{name}"' for name in names)
    inner = f'SELECT {taken} {OF_ROBOTS_HEALTH} GROUP BY "robot", "site"'
    columns = {
        "robot": Column("robot", units.String, link=to_robot()),
        "site": Column("site", units.String),
        "disk": Column("disk", units.Percent, DISK_STEPS),
        "cpu": Column("CPU", units.Percent, BUSY_STEPS),
        "ram": Column("memory", units.Percent, BUSY_STEPS),
        "temp_c": Column("temperature", units.Celsius, HEAT_STEPS),
        "load1": Column("load"),
        "disk_free_bytes": Column("free", units.BytesSI),
    }
    look = Look(
        f"The {WORST} robots with the fullest disks",
        "Each robot's newest word about its machine.",
        empty=NO_HEALTH,
        width=24,
        height=10,
    )
    return panels.rows(look, worst("disk", names[1:], ("robot", "site"), inner), columns)


def _robots() -> list[panels.AnyPanel]:
    return [
        _robot_graph("Robots: CPU", "How busy processors are", "cpu", BUSY_STEPS),
        _robot_graph("Robots: memory", "How much memory is taken", "ram", BUSY_STEPS),
        _robot_graph("Robots: disk", "How full the disks are that hold the rings", "disk", DISK_STEPS),
        _robot_graph("Robots: temperature", "The hottest sensors", "temp_c", HEAT_STEPS, units.Celsius),
    ]


def _robot_graph(
    title: str, description: str, name: str, steps: panels.Steps, unit: str = units.Percent
) -> panels.AnyPanel:
    each = (
        f'SELECT max("{name}.max") AS "most", mean("{name}.mean") AS "mean" {OF_ROBOTS_HEALTH} '
        f'GROUP BY time($__interval), "robot"'
    )
    shown = 'max("most") AS "highest", percentile("most", 95) AS "p95", mean("mean") AS "mean"'
    asked = f"{of_newest(shown, each)} GROUP BY time($__interval) fill(none)"
    look = Look(
        title,
        f"{description}: the robot with the highest, what 95 of 100 stay below, and the mean.",
        unit,
        NO_HEAT if unit == units.Celsius else NO_HEALTH,
        steps,
        width=6,
        height=8,
    )
    return panels.graph(look, Graph([Query(asked)]))
