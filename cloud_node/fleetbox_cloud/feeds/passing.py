"""Turn what a site's own hop and machine do into points: the measurements `relay` and `sites`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fleetbox.machine import Machine
from fleetbox.measurements import RELAY, SITES
from fleetbox_cloud.feeds.points import Value, point
from fleetbox_replication.onward import Flow


class RelayRates:
    """Make rates of what a hop has passed so far."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._before: tuple[float, Mapping[str, Flow]] | None = None

    def lines(self, flows: Mapping[str, Flow], now_s: float, now_us: int) -> list[str]:
        """Return a point per robot; rates stand from the second look on. `now_s` only runs forward."""
        before, self._before = self._before, (now_s, flows)
        made = []
        for robot, flow in sorted(flows.items()):
            fields: dict[str, Value] = {"held": flow.held, "missing": flow.missing, "copied": flow.copied}
            if before is not None and now_s > before[0]:
                was, past_s = before[1].get(robot, Flow()), now_s - before[0]
                fields["bytes_s"] = _rate(was.sent_bytes, flow.sent_bytes, past_s)
                fields["records_s"] = _rate(was.sent, flow.sent, past_s)
            made.append(point(RELAY, {"robot": robot, "site": self._site}, fields, now_us))
        return [line for line in made if line is not None]


class SiteRates:
    """Measure the site's machine, and make rates of what its loader has loaded."""

    def __init__(self, site: str, folder: Path) -> None:
        self._site, self._folder, self._machine = site, folder, Machine()
        self._before: tuple[float, int] | None = None

    def line(self, loaded: Mapping[str, Any], store_bytes: int, now_s: float, now_us: int) -> str | None:
        """Return the site's point; `loaded` is the loader's report."""
        points, refused = counts_of(loaded)
        before, self._before = self._before, (now_s, points)
        fields: dict[str, Value] = {**self._machine.read(self._folder)}
        if "disk_free_bytes" in fields:
            fields["disk_free_bytes"] = round(float(fields["disk_free_bytes"] or 0))
        fields |= {"refused": refused, "store_bytes": store_bytes}
        if before is not None and now_s > before[0]:
            fields["points_s"] = _rate(before[1], points, now_s - before[0])
        return point(SITES, {"site": self._site}, fields, now_us)


def counts_of(loaded: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many points a loader has written and how many it was refused, over all robots, by its report."""
    robots = loaded.get("robots", {}).values()
    points = sum(int(one.get("points", 0)) for one in robots)
    refused = sum(int(n) for one in robots for what, n in one.items() if what.startswith("refused"))
    return points, refused


def mended_of(loaded: Mapping[str, Any]) -> int:
    """Return how many values a loader has put back into InfluxDB, by its report."""
    return sum(int(one.get("repaired", 0)) for one in loaded.get("robots", {}).values())


def _rate(before: int, now: int, past_s: float) -> float:
    """Return the growth per second; a count that began anew has grown by what it is."""
    return (now - before if now >= before else now) / past_s
