"""Reconcile a hop: follow what both ends tell of themselves, find what differs, bring what is missing."""

from fleetbox_replication.reconcile.copying import Copier
from fleetbox_replication.reconcile.hop import Hop, hop_of
from fleetbox_replication.reconcile.listing import Ends
from fleetbox_replication.reconcile.means import Options, Route
from fleetbox_replication.reconcile.reconciler import Reconciler
from fleetbox_replication.reconcile.rhythm import Rhythm
from fleetbox_replication.reconcile.sweeping import sweep

__all__ = ["Copier", "Ends", "Hop", "Options", "Reconciler", "Rhythm", "Route", "hop_of", "sweep"]
