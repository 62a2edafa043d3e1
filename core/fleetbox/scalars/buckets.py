"""Make a bucket, its retention and the mapping that InfluxQL needs; say what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fleetbox.errors import StoreRefused
from fleetbox.scalars.wire import Wire


async def ensure(wire: Wire, retention_s: int | None) -> bool:
    """Make the bucket as ScalarStore.ensure_bucket says; return whether anything changed."""
    name, org = wire.influx.bucket, await _org_id(wire)
    bucket = await _find(wire, {"orgID": org})
    rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
    changed = bucket is None
    if bucket is None:
        body = {"orgID": org, "name": name, "retentionRules": rules}
        bucket = await _made(wire, body)
    elif retention_s is not None and _retention_s(bucket) != retention_s:
        # 0 lets InfluxDB choose the shard's length anew: an old one longer than the retention is refused.
        rules = [{"type": "expire", "everySeconds": retention_s, "shardGroupDurationSeconds": 0}]
        path = f"/api/v2/buckets/{bucket['id']}"
        await wire.json("PATCH", path, "set the retention", body={"retentionRules": rules})
        changed = True
    return await _ensure_mapping(wire, org, bucket["id"]) or changed


async def retention_s(wire: Wire) -> int | None:
    """Return how long the bucket keeps points, 0 = for ever; None when there is no such bucket."""
    bucket = await _find(wire, {})  # a token of this bucket alone sees no organisation, and no other bucket
    return None if bucket is None else _retention_s(bucket)


async def _made(wire: Wire, body: Mapping[str, Any]) -> dict[str, Any]:
    """Make a bucket, or return the one that somebody else has made meanwhile."""
    try:
        made: dict[str, Any] = await wire.json("POST", "/api/v2/buckets", "make the bucket", body=body)
    except StoreRefused:
        found = await _find(wire, {"orgID": body["orgID"]})
        if found is None:
            raise
        return found
    return made


async def _ensure_mapping(wire: Wire, org: str, bucket_id: str) -> bool:
    name = wire.influx.bucket
    found = await wire.json("GET", "/api/v2/dbrps", "list the mappings", {"orgID": org, "db": name})
    if any(one["bucketID"] == bucket_id and one["default"] for one in found["content"]):
        return False
    body = {"orgID": org, "bucketID": bucket_id, "database": name, "retention_policy": "autogen", "default": True}
    await wire.json("POST", "/api/v2/dbrps", "map the bucket for InfluxQL", body=body)
    return True


async def _org_id(wire: Wire) -> str:
    found = await wire.json("GET", "/api/v2/orgs", "find the organisation", {"org": wire.influx.org})
    if not found["orgs"]:  # that is how a token of one bucket alone is answered
        raise wire.refusal("find the organisation", 403, b"the token may not see it")
    return str(found["orgs"][0]["id"])


async def _find(wire: Wire, within: Mapping[str, str]) -> dict[str, Any] | None:
    query = {**within, "name": wire.influx.bucket}
    status, answer = await wire.ask("GET", "/api/v2/buckets", "find the bucket", query)
    if status == 404:
        return None
    if status != 200:
        raise wire.refusal("find the bucket", status, answer)
    found: list[dict[str, Any]] = json.loads(answer)["buckets"]
    return found[0] if found else None


def _retention_s(bucket: Mapping[str, Any]) -> int:
    return next((int(rule["everySeconds"]) for rule in bucket.get("retentionRules", [])), 0)
