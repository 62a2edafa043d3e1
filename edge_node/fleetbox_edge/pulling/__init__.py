"""Pull: ask robots for a past window, after saying how much it is and how long it takes."""

from fleetbox_edge.pulling.estimating import Estimate, estimate
from fleetbox_edge.pulling.order import PullOrder, pull_event
from fleetbox_edge.pulling.pulling import Pulled, pull
from fleetbox_edge.pulling.sizes import Size, size_in_ledger, size_in_store

__all__ = [
    "Estimate",
    "PullOrder",
    "Pulled",
    "Size",
    "estimate",
    "pull",
    "pull_event",
    "size_in_ledger",
    "size_in_store",
]
