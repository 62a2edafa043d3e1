"""The write-ahead spool: what `log()` has accepted stands here until the store has it."""

from fleetbox_edge.spool.frames import HEADER, MAGIC, Stretch, frame, scan
from fleetbox_edge.spool.segments import Segment
from fleetbox_edge.spool.spool import LEAST_VALUABLE_FIRST, Limits, Spool, SpoolFull

__all__ = [
    "HEADER",
    "LEAST_VALUABLE_FIRST",
    "MAGIC",
    "Limits",
    "Segment",
    "Spool",
    "SpoolFull",
    "Stretch",
    "frame",
    "scan",
]
