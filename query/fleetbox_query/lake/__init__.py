"""The lake: Delta tables of what a site holds, kept up by its ledger, for DuckDB, Polars, Spark and pandas."""

from fleetbox_query.lake.folder import Lake
from fleetbox_query.lake.syncing import Synced, sync_lake

__all__ = ["Lake", "Synced", "sync_lake"]
