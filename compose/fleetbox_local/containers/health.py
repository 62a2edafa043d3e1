"""Tells Docker whether an agent or a site process works: `python -m fleetbox_local.containers.health agent|site`."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

STATE = Path("/var/lib/fleetbox")  # as the compose files mount it
TIMEOUT_S = 10.0  # below the 20 s that Docker gives the whole check: Python alone needs some on a busy machine
WAITS_FOR_OTHERS = ("relay", "tasks", "orders", "loader", "books")  # another place's outage is no fault of this one


def agent_fault(env: Mapping[str, str]) -> str | None:
    """Return why the agent does not work: its relay, the last thing it opens, must answer."""
    try:
        _ask(f"http://127.0.0.1:{env.get('ROBOT_RELAY_PORT', '8384')}/relay/status")
    except (OSError, ValueError) as error:
        return f"the agent's relay does not answer: {error}"
    return None


def site_fault(state: Path) -> str | None:
    """Return why the site process does not work: its door must answer, and its own parts must run."""
    try:
        parts = _ask(json.loads((state / "site.json").read_text())["url"] + "/status")["parts"]
    except (OSError, ValueError, KeyError) as error:
        return f"the site's door does not answer: {error}"
    return stuck(parts)


def stuck(parts: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Name the parts of a site that fail for a reason of its own."""
    if parts.get("provision", {}).get("state") != "done":
        return f"not provisioned yet: {parts.get('provision', {}).get('why')}"
    waiting = [
        f"{name}: {part['why']}"
        for name, part in parts.items()
        if part["state"] == "waiting" and name not in WAITS_FOR_OTHERS
    ]
    return "; ".join(waiting) or None


def main() -> int:
    """Exit 0 when all is well; else say why, and exit 1."""
    fault = site_fault(STATE) if sys.argv[1:] == ["site"] else agent_fault(os.environ)
    if fault:
        sys.stdout.write(fault + "\n")
    return 1 if fault else 0


def _ask(url: str) -> Any:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # never through a proxy of the environment
    with direct.open(url, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read())


if __name__ == "__main__":
    sys.exit(main())
