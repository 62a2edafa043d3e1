"""What an engine's request to its relay asks for, read from method, path and headers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, unquote

from fleetbox_replication.relay.destination import Entry
from fleetbox_replication.wire import Part, WireError, labels_of, make_part, parts_of

_RECORDS = re.compile(r"(?P<path>/api/v1/b/(?P<bucket>[^/?]+)/(?P<entry>[^?]+?))(?P<batch>/batch)?(?:\?(?P<query>.*))?")
_PROBE = re.compile(r"/api/v1/(?:info|list|alive|ready|b/[^/?]+)")


@dataclass(frozen=True, slots=True)
class RecordsRequest:
    """Ask to write (POST) or relabel (PATCH) records of one entry; `single` when they came without batch headers."""

    entry: Entry
    parts: tuple[Part, ...]
    single: bool


def read_records(method: str, raw_path: str, headers: Mapping[str, str]) -> RecordsRequest | None:
    """Return the records a request announces, or None when it carries none; raises WireError."""
    match = _RECORDS.fullmatch(raw_path)
    if match is None or method not in ("POST", "PATCH"):
        return None
    entry = Entry(unquote(match["bucket"]), unquote(match["entry"]), match["path"])
    if match["batch"]:
        return RecordsRequest(entry, parts_of(headers.items()), single=False)
    time_us = parse_qs(match["query"] or "").get("ts", [""])[0]
    if not time_us.isdigit():
        raise WireError(f"{method} {raw_path} names no time")
    size = int(headers.get("Content-Length", "0"))
    part = make_part(int(time_us), size, headers.get("Content-Type", ""), labels_of(headers.items()))
    return RecordsRequest(entry, (part,), single=True)


def is_probe(method: str, raw_path: str) -> bool:
    """Tell whether a task may ask this: whether the destination lives, and its bucket, which it may create."""
    if _PROBE.fullmatch(raw_path) is None:
        return False
    return method in ("GET", "HEAD") or (method == "POST" and "/b/" in raw_path)


def probed_bucket(raw_path: str) -> str:
    """Return the bucket a probe asks about; empty for the store itself."""
    _, found, bucket = raw_path.partition("/api/v1/b/")
    return unquote(bucket) if found else ""
