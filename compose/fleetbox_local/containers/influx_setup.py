"""Sets InfluxDB up and makes Grafana's secrets: `python -m fleetbox_local.containers.influx_setup TOKEN_FILE DIR`.

DIR gets `influx.token`, which may only read, and `admin.password`; both readable by the group.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from fleetbox.disk import write_whole
from fleetbox_local.processes import ask, set_up_influx

ORG = BUCKET = "fleetbox"  # what the settings beside the compose files say
GROUP_READS = 0o640  # Grafana runs as a user of its own, in our group


class Refused(Exception):
    """InfluxDB answered something else than asked for."""


def set_up(port: int, token: str) -> None:
    """Make the first user, organisation and bucket, with this token; nothing when that was done before."""
    refused = set_up_influx(port, token, ORG, BUCKET)
    if refused is not None:
        raise Refused(f"InfluxDB would not set up ({refused.status}): {refused.body[:500]}")


def reading_token(port: int, token: str) -> str:
    """Make a token that may read the organisation's buckets and nothing else; return it."""
    found = _expect(ask(port, "GET", f"/api/v2/orgs?org={ORG}", token=token), 200, "find the organisation")
    org = found["orgs"][0]["id"]
    may = [{"action": "read", "resource": {"type": kind, "orgID": org}} for kind in ("buckets", "dbrp")]
    wish = {"orgID": org, "description": "Grafana reads", "permissions": may}
    made = _expect(ask(port, "POST", "/api/v2/authorizations", wish, token=token), 201, "make a reading token")
    return str(made["token"])


def main(token_file: Path, folder: Path, port: int) -> int:
    """Set up what is missing; exit 1 with the reason when InfluxDB refuses."""
    token = token_file.read_text(encoding="utf-8").strip()
    try:
        set_up(port, token)
        if not (folder / "influx.token").exists():
            write_whole(folder / "influx.token", reading_token(port, token), GROUP_READS, durable=True)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return 1
    if not (folder / "admin.password").exists():
        write_whole(folder / "admin.password", secrets.token_urlsafe(18), GROUP_READS, durable=True)
    return 0


def _expect(answer: Any, status: int, what: str) -> Any:
    if answer.status != status:
        raise Refused(f"InfluxDB would not {what} ({answer.status}): {answer.body[:500]}")
    return json.loads(answer.body)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(os.environ["INFLUX_PORT"])))
