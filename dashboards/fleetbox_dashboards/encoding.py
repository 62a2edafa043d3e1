"""Turn what the SDK built into plain documents, and those into text that is the same every time."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from grafana_foundation_sdk.cog.encoder import JSONEncoder


def plain(built: object) -> Any:
    """Return dictionaries, lists and plain values."""
    return json.loads(json.dumps(built, cls=JSONEncoder))


def text_of(document: object) -> str:
    """Return a document as text for a file that people review."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def fingerprint(document: object) -> str:
    """Return twelve characters that tell two documents apart."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:12]
