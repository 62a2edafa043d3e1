"""Measure the machine that this runs on: CPU, memory, disk, temperature, load."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HOTTEST = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "cpu")  # a disk's sensor is none of these


class Machine:
    """Measure from one `read` to the next; needs psutil, which `fleetbox[robot]` and `fleetbox[site]` bring."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        psutil.cpu_percent(None)  # from now on: without a beginning its first answer is 0

    def read(self, folder: Path) -> dict[str, float]:
        """Return cpu, ram and disk in percent, disk_free_bytes, temp_c and load1; what cannot be told is left out.

        `folder` is on the disk that is meant; temp_c is that of the hottest sensor of the processor.
        """
        psutil = self._psutil
        found: dict[str, float | None] = {
            "cpu": float(psutil.cpu_percent(None)),
            "ram": float(psutil.virtual_memory().percent),
            "load1": float(psutil.getloadavg()[0]),
            "temp_c": hottest(_sensors(psutil)),
            **disk_of(folder),
        }
        return finite(found)


def disk_of(folder: Path) -> dict[str, float]:
    """Return how full the disk is that a folder is on, or will be, in percent, and its free bytes; {} if unknown."""
    import shutil

    try:
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        usage = shutil.disk_usage(there)
    except OSError:
        return {}
    usable = usage.used + usage.free  # less than the total where some is kept for root, as `df` counts
    return {"disk": 100.0 * usage.used / usable if usable else 100.0, "disk_free_bytes": float(usage.free)}


def hottest(sensors: Mapping[str, Any]) -> float | None:
    """Return the highest temperature in °C among a processor's sensors, else among all; None without any."""
    chosen = [chip for name, chip in sensors.items() if name in HOTTEST] or list(sensors.values())
    temperatures = [float(sensor.current) for chip in chosen for sensor in chip if sensor.current is not None]
    return max(temperatures, default=None)


def finite(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the numbers that are some: no unknown ones, no NaN, no infinities."""
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _sensors(psutil: Any) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = psutil.sensors_temperatures()
    except (AttributeError, OSError, ValueError):  # not on this system, or a driver that answers nonsense
        return {}
    return found
