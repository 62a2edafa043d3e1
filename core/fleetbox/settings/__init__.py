"""Settings files: places and hops (fleet.toml), one robot (robot.toml), what is kept and shipped (policy.toml)."""

from fleetbox.settings.fleet import FleetSettings, find_fleet, load_fleet
from fleetbox.settings.places import Influx, Place, Tier
from fleetbox.settings.policy import (
    EventRule,
    Expect,
    HopRule,
    Policy,
    StreamRule,
    TriggerRule,
    load_policy,
    parse_policy,
)
from fleetbox.settings.robot import RobotSettings, load_robot
from fleetbox.settings.secrets import Secret
from fleetbox.settings.uplink import Uplink

__all__ = [
    "EventRule",
    "Expect",
    "FleetSettings",
    "HopRule",
    "Influx",
    "Place",
    "Policy",
    "RobotSettings",
    "Secret",
    "StreamRule",
    "Tier",
    "TriggerRule",
    "Uplink",
    "find_fleet",
    "load_fleet",
    "load_policy",
    "load_robot",
    "parse_policy",
]
