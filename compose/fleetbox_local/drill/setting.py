"""What a scenario asks of the scene it plays in."""

from __future__ import annotations

from dataclasses import dataclass

ROBOT = "r1"
CHUNK = "1s"  # five seconds by default: a drill wants several chunks within its half minute
ENGINE = {"RS_REPLICATION_TIMEOUT": "1"}  # s; the engine's own 5 s after each trouble only make a drill longer
RING = 'sensor = "200 MB", media = "400 MB", log = "100 MB", kept = "200 MB", leave_free = "100 MB"'
POLICY = """\
version = 1
name    = "drill"

[stream.health]
ship = "always"

[stream."log/**"]
ship = "always"

[stream."cam/front"]
ship = "always"

[stream."near/*"]
ship = "always"
to   = "edge"

[stream."**"]
ship = "event"

[event.default]
pre  = "10s"
post = "2s"
"""

Env = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """Describe a scene; scenarios with equal settings can share one.

    Environments are the engine's own settings by place. `edge_disk_bytes` and `robot_disk_bytes` put a store's data
    on a file system of that size. `proxy` puts an HTTP proxy before the edge's store that can be told to refuse.
    """

    robot_env: Env = ()
    edge_env: Env = ()
    ring: str = RING
    policy: str = POLICY
    proxy: bool = False
    influx: bool = False
    edge_disk_bytes: int | None = None
    robot_disk_bytes: int | None = None
    rate_hz: float = 100.0  # numbers a second; see the writer
    flush_s: float = 90.0  # a half-written record is healed after a minute; hundreds of kills leave many

    def store_env(self) -> dict[str, dict[str, str]]:
        """Return the engine's settings of each store."""
        return {
            ROBOT: {**ENGINE, **dict(self.robot_env)},
            "edge": {**ENGINE, **dict(self.edge_env)},
            "cloud": dict(ENGINE),
        }


PLAIN = Setting()
PROXIED = Setting(proxy=True)
