"""Files from which Grafana provisions itself: data source, board folder, alert rules."""

from __future__ import annotations

import json
from typing import Any

from fleetbox_dashboards.alerts import GROUP, INTERVAL_S, alerts, rule
from fleetbox_dashboards.encoding import plain

UID = "fleetbox"  # of the data source and of the folder, unless a person names others
FOLDER = "fleetbox"
BOARDS_PATH = "/var/lib/grafana/dashboards/fleetbox"  # where the container finds DIR/dashboards
MINIMUM = (10, 1)  # Grafana; the SDK's panels are those of 10.1

DATASOURCE = """\
# InfluxDB 2 through InfluxQL. Grafana fills in what begins with a $ from its own environment:
#   FLEETBOX_INFLUX_URL          http://influxdb:8086
#   FLEETBOX_INFLUX_BUCKET       the bucket of [site.NAME.influx]; `fleetbox site run` maps it for InfluxQL
# A token that may read the bucket comes from a file at this path (Grafana fills in no $ inside `$__file`):
#   /run/secrets/fleetbox-influx-token
apiVersion: 1
datasources:
  - name: fleetbox
    uid: {uid}
    type: influxdb
    access: proxy
    url: $FLEETBOX_INFLUX_URL
    editable: false
    jsonData:
      version: InfluxQL
      httpMode: POST
      dbName: $FLEETBOX_INFLUX_BUCKET
      timeInterval: 1s
      httpHeaderName1: Authorization
    secureJsonData:
      httpHeaderValue1: Token $__file{{/run/secrets/fleetbox-influx-token}}
"""

PROVIDER = f"""\
# Boards from files: Grafana shows them in the folder `{FOLDER}` and lets nobody save over them.
apiVersion: 1
providers:
  - name: fleetbox
    folder: {FOLDER}
    folderUid: {UID}
    type: file
    allowUiUpdates: false
    updateIntervalSeconds: 30
    options:
      path: {BOARDS_PATH}
"""


def datasource_yaml(uid: str = UID) -> str:
    """Return the data source's file."""
    return DATASOURCE.format(uid=uid)


def alerting_json(datasource_uid: str = UID) -> dict[str, Any]:
    """Return the alert rules' file. Grafana makes the folder named in it."""
    rules = [plain(rule(alert, datasource_uid, UID).build()) for alert in alerts()]
    kept = ("uid", "title", "condition", "data", "noDataState", "execErrState", "for", "annotations", "labels")
    group = {
        "orgId": 1,
        "name": GROUP,
        "folder": FOLDER,
        "interval": f"{INTERVAL_S}s",
        "rules": [{name: one[name] for name in kept} for one in rules],
    }
    if "$" in (text := json.dumps(group)):
        raise ValueError(f"Grafana would fill in what follows the $ in an alert rule: {text}")
    return {"apiVersion": 1, "groups": [group]}
