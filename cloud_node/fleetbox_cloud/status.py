"""Ask the site process on this machine how it is doing."""

from __future__ import annotations

import json
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from fleetbox.errors import Unreachable
from fleetbox_cloud.door import FILE

TIMEOUT_S = 30.0  # it is on this machine, which may be busy; where none runs nothing is waited for


def ask_site(state: Path) -> dict[str, Any]:
    """Return the site process's report; raise Unreachable when none runs here."""
    try:
        url = json.loads((state / FILE).read_text())["url"]
        with urlopen(f"{url}/status", timeout=TIMEOUT_S) as answer:
            found: dict[str, Any] = json.load(answer)
    except (OSError, URLError, HTTPException, ValueError, KeyError) as error:
        raise Unreachable(
            f"no site process answers from {state}: {error}", "start it on the site's machine: fleetbox site run"
        ) from error
    return found
