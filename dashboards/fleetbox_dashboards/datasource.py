"""Make a Grafana's data source for a site's InfluxDB, once its bucket answers InfluxQL."""

from __future__ import annotations

from typing import Any

from fleetbox.errors import AccessDenied, NotFound
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_dashboards.influxql import DATASOURCE_TYPE


def document(influx: Influx, uid: str, url: str | None = None) -> dict[str, Any]:
    """Return the data source as Grafana's API takes it; `url` is the InfluxDB as Grafana sees it."""
    return {
        "name": uid,
        "uid": uid,
        "type": DATASOURCE_TYPE,
        "access": "proxy",
        "url": url or influx.url,
        "jsonData": {
            "version": "InfluxQL",
            "httpMode": "POST",
            "dbName": influx.bucket,
            "timeInterval": "1s",
            "httpHeaderName1": "Authorization",
        },
        "secureJsonData": {"httpHeaderValue1": f"Token {influx.current_token()}"},
    }


async def map_bucket(influx: Influx) -> str:
    """See to it that InfluxQL reaches the bucket; return `mapped`, `ready` or why it could not be seen to.

    Raises NotFound when there is no such bucket, Unreachable and AccessDenied.
    """
    async with ScalarStore(influx) as scalars:
        if await scalars.retention_s() is None:
            raise NotFound(
                f"InfluxDB at {influx.url} has no bucket {influx.bucket!r}",
                "`fleetbox site run` makes it; or check [site.*.influx] bucket in fleet.toml",
            )
        try:
            return "mapped" if await scalars.ensure_bucket() else "ready"
        except AccessDenied:  # a token of this bucket alone: it is enough when somebody has mapped it
            await scalars.query("SHOW MEASUREMENTS LIMIT 1")
            return "ready"
