"""InfluxQL targets in the form that Grafana's InfluxDB data source reads; the SDK has no builder for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.dashboard import DataSourceRef

DATASOURCE_TYPE = "influxdb"
CHOSEN = DataSourceRef(type_val=DATASOURCE_TYPE, uid="${datasource}")  # one board serves every site's InfluxDB
ResultFormat = Literal["table", "time_series"]


@dataclass(frozen=True, slots=True)
class InfluxQL(Dataquery):
    """Hold one raw query."""

    query: str
    result_format: ResultFormat
    ref_id: str = "A"
    alias: str = ""
    datasource: DataSourceRef | None = CHOSEN

    def to_json(self) -> dict[str, object]:
        """Return what Grafana stores."""
        told: dict[str, object] = {
            "refId": self.ref_id,
            "query": self.query,
            "rawQuery": True,
            "resultFormat": self.result_format,
        }
        if self.alias:
            told["alias"] = self.alias
        if self.datasource is not None:
            told["datasource"] = self.datasource
        return told


@dataclass(frozen=True, slots=True)
class Built(Builder[Dataquery]):
    """Hand a query to the SDK's builders, which take builders only."""

    query: Dataquery

    def build(self) -> Dataquery:
        """Return the query."""
        return self.query
