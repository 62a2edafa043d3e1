"""What boards show of a fleet beside its streams: robots, streams, events, logs, dead letters, relays and sites."""

from fleetbox_cloud.feeds.feeds import FeedRhythm, Feeds, Sources
from fleetbox_cloud.feeds.watch import RobotWatch

__all__ = ["FeedRhythm", "Feeds", "RobotWatch", "Sources"]
