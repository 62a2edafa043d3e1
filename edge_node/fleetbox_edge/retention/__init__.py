"""Retention by value: what leaves the robot's disk first when it nears its floor, and what has become too old."""

from fleetbox_edge.retention.keeper import Keeper, KeeperOptions
from fleetbox_edge.retention.value import Rank, Worth, choose, is_expired, rank_of

__all__ = ["Keeper", "KeeperOptions", "Rank", "Worth", "choose", "is_expired", "rank_of"]
