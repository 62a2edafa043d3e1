"""Measure the real host's health: the one simulated stream that is not simulated."""

from __future__ import annotations

from typing import Any


def host_health() -> dict[str, Any]:
    """Return CPU and memory in percent, load, free disk in bytes, and bytes sent and received so far."""
    import psutil

    network = psutil.net_io_counters()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": psutil.virtual_memory().percent,
        "load_1min": psutil.getloadavg()[0],
        "disk_free_bytes": psutil.disk_usage("/").free,
        "sent_bytes": network.bytes_sent if network else 0,
        "received_bytes": network.bytes_recv if network else 0,
    }
