"""The scalar port: write points to an InfluxDB 2 and ask it for numbers.

It speaks InfluxDB's HTTP through aiohttp, which the blob port brings anyway, so a bare install can ask too.
The vendor's client would add nothing that is needed here: it has no InfluxQL, and its async half no DBRP calls.
"""

from fleetbox.scalars.report import Refusal, ScalarReport
from fleetbox.scalars.store import ScalarStore, Series
from fleetbox.scalars.writing import BATCH_LINES

__all__ = ["BATCH_LINES", "Refusal", "ScalarReport", "ScalarStore", "Series"]
