"""The relay: what a store's tasks send through on localhost, so that nothing is acknowledged before it has arrived."""

from fleetbox_replication.relay.options import RelayOptions, Timing
from fleetbox_replication.relay.pace import Pace
from fleetbox_replication.relay.server import Relay

__all__ = ["Pace", "Relay", "RelayOptions", "Timing"]
