"""The census: what each place holds of every stream and minute, listed from its own store into the ledger."""

from fleetbox_replication.census.census import Census
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.scope import CensusScope, census_of_robot, census_of_site
from fleetbox_replication.census.touches import Touches, touches_in

__all__ = ["Census", "CensusScope", "Rhythm", "Touches", "census_of_robot", "census_of_site", "touches_in"]
