"""Ingest recordings other programs made: MCAP files into a store's kept bucket, original times kept."""

from fleetbox_edge.ingest.file import ingest_file
from fleetbox_edge.ingest.report import Damage, IngestReport, StreamCount
from fleetbox_edge.ingest.run import run

__all__ = ["Damage", "IngestReport", "StreamCount", "ingest_file", "run"]
