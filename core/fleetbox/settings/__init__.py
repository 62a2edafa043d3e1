"""Settings files: places and hops (fleet.toml), one robot (robot.toml), what is kept and shipped (policy.toml)."""

from fleetbox.settings.fleet import FleetSettings, find_fleet, load_fleet
from fleetbox.settings.places import Influx, Place, Tier
from fleetbox.settings.policy import EventRule, Expect, HopRule, Policy, Preview, StreamRule, load_policy
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
    "Preview",
    "RobotSettings",
    "Secret",
    "StreamRule",
    "Tier",
    "Uplink",
    "find_fleet",
    "load_fleet",
    "load_policy",
    "load_robot",
]
