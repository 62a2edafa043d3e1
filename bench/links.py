"""Round-trip times for the benchmarks: loopback lag proves nothing, so each lag figure names its RTT."""

from fleetbox_local.links import Link

RTTS_MS = (0.0, 50.0, 100.0)  # loopback; a site in the same country; another continent or a good mobile link

__all__ = ["RTTS_MS", "Link"]
