"""The scalar port: write points to an InfluxDB 2 and ask it for numbers.

It speaks InfluxDB's HTTP through aiohttp, which the blob port brings anyway, so a bare install can ask too.
The vendor's client would add nothing that is needed here: it has no InfluxQL, and its async half no DBRP calls.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp

from fleetbox.errors import AccessDenied, FleetboxError, NotFound, StoreRefused, Unreachable
from fleetbox.points import Points, lines, slices
from fleetbox.settings import Influx

BATCH_LINES = 5_000  # the vendor's advice; larger requests gained nothing when measured
TIMEOUT_S = 30.0  # a compaction can hold a write back for seconds
_CONFLICT = re.compile(r"field type conflict.*dropped=(\d+)", re.S)
_TOO_OLD = re.compile(r"dropped (\d+) points outside retention")


@dataclass(slots=True)
class ScalarReport:
    """Count points written, finite values sent (those of refused points too), and what was refused by reason.

    `refused["nan"]` counts values (NaN and infinities); the other reasons (`retention`, `type`, `malformed`,
    `too_large`, `other`) count points.
    """

    written: int = 0
    values: int = 0
    refused: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: ScalarReport) -> ScalarReport:
        return ScalarReport(self.written + other.written, self.values + other.values, self.refused + other.refused)


@dataclass(frozen=True, slots=True)
class Series:
    """Hold one series of an InfluxQL answer; times are µs since the epoch."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    rows: list[list[Any]]


class ScalarStore:
    """Reach one bucket of an InfluxDB 2. Use as an async context manager."""

    def __init__(self, influx: Influx, *, timeout_s: float = TIMEOUT_S) -> None:
        self._influx = influx
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            timeout=self._timeout, headers={"Authorization": f"Token {self._influx.current_token()}"}
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def write(self, points: Iterable[Points]) -> ScalarReport:
        """Write points; equal points written again change nothing.

        What InfluxDB refuses for good is counted by reason and the rest kept. Raises AccessDenied, NotFound
        (no such bucket) and Unreachable; then any part may be written, and writing all of it again is right.
        """
        report, pending = ScalarReport(), list[str]()
        sending: asyncio.Task[ScalarReport] | None = None
        try:
            for part in slices(points, BATCH_LINES):
                made = await asyncio.to_thread(lines, part)
                report += ScalarReport(values=made.values, refused=Counter(nan=made.nan))
                pending += made.text
                if len(pending) >= BATCH_LINES:  # the next lines are built while these are on their way
                    report += await sending if sending else ScalarReport()
                    sending, pending = asyncio.create_task(self.write_lines(pending)), []
            return report + (await sending if sending else ScalarReport()) + await self.write_lines(pending)
        finally:
            if sending is not None:
                await asyncio.gather(sending, return_exceptions=True)

    async def write_lines(self, text: Sequence[str]) -> ScalarReport:
        """Write line protocol with times in µs; errors as in `write`."""
        if not text:
            return ScalarReport()
        query = {"org": self._influx.org, "bucket": self._influx.bucket, "precision": "us"}
        body = "\n".join(text).encode()
        status, answer = await self._ask("POST", "/api/v2/write", f"write {len(text)} points", query, body)
        if status == 204:
            return ScalarReport(len(text))
        if status == 422:
            return await self._partly(text, _message(answer))
        if status in (400, 413):
            if len(text) > 1:
                return await self._halves(text)
            return ScalarReport(refused=Counter({"too_large" if status == 413 else "malformed": 1}))
        raise self._refusal(f"write {len(text)} points", status, answer)

    async def mean(self, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> float | None:
        """Return the mean of a field from start to stop (excluded), or None when there is no value."""
        value = await self._aggregate("mean", stream, name, robot, start_us, stop_us)
        return None if value is None else float(value)

    async def count(self, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> int:
        """Return how many values a field has from start to stop (excluded)."""
        return int(await self._aggregate("count", stream, name, robot, start_us, stop_us) or 0)

    async def query(self, influxql: str, params: Mapping[str, Any] | None = None) -> list[Series]:
        """Ask in InfluxQL, which panels use and InfluxDB 3 still answers; `$name` in the text takes `params`."""
        query = {"db": self._influx.bucket, "epoch": "u", "q": influxql, "params": json.dumps(dict(params or {}))}
        status, answer = await self._ask("GET", "/query", "query", query)
        if status != 200:
            raise self._refusal("query", status, answer)
        result = json.loads(answer)["results"][0]
        if "error" in result:
            if "database not found" in result["error"]:
                raise self._refusal("query", 404, result["error"].encode())
            raise StoreRefused(f"InfluxDB at {self._influx.url} refused {influxql!r}: {result['error']}", 400)
        return [
            Series(one["name"], one.get("tags", {}), one["columns"], one.get("values", []))
            for one in result.get("series", [])
        ]

    async def ensure_bucket(self, retention_s: int | None = None) -> bool:
        """Make the bucket, its retention (0 = for ever) and the mapping InfluxQL needs; say whether anything changed.

        The token needs to read and write the organisation's buckets and DBRP mappings.
        """
        org = await self._org_id()
        bucket = await self._bucket(org)
        rules = [{"type": "expire", "everySeconds": retention_s}] if retention_s else []
        changed = bucket is None
        if bucket is None:
            body = {"orgID": org, "name": self._influx.bucket, "retentionRules": rules}
            bucket = await self._json("POST", "/api/v2/buckets", "make the bucket", body=body)
        elif retention_s is not None and _retention_s(bucket) != retention_s:
            # 0 lets InfluxDB choose the shard's length anew: an old one longer than the retention is refused.
            rules = [{"type": "expire", "everySeconds": retention_s, "shardGroupDurationSeconds": 0}]
            path = f"/api/v2/buckets/{bucket['id']}"
            await self._json("PATCH", path, "set the retention", body={"retentionRules": rules})
            changed = True
        return await self._ensure_mapping(org, bucket["id"]) or changed

    async def _partly(self, text: Sequence[str], message: str) -> ScalarReport:
        """Count a partial write.

        InfluxDB names one reason, and a type conflict hides points outside retention and those of other shards: then
        halve until a conflict explains every point. Age alone is counted right.
        """
        old, conflict = _TOO_OLD.search(message), _CONFLICT.search(message)
        if old and not conflict:
            return ScalarReport(len(text) - int(old[1]), refused=Counter(retention=int(old[1])))
        if conflict and int(conflict[1]) == len(text):
            return ScalarReport(refused=Counter(type=len(text)))
        if len(text) == 1:
            return ScalarReport(refused=Counter({"type" if conflict else "other": 1}))
        return await self._halves(text)

    async def _halves(self, text: Sequence[str]) -> ScalarReport:
        middle = len(text) // 2
        return await self.write_lines(text[:middle]) + await self.write_lines(text[middle:])

    async def _aggregate(self, what: str, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> Any:
        text = (
            f"SELECT {what}({_quote(name)}) FROM {_quote(stream)} "
            f"WHERE robot = $robot AND time >= {int(start_us)}u AND time < {int(stop_us)}u"
        )
        found = await self.query(text, {"robot": robot})
        return found[0].rows[0][1] if found else None

    async def _ensure_mapping(self, org: str, bucket_id: str) -> bool:
        name = self._influx.bucket
        found = await self._json("GET", "/api/v2/dbrps", "list the mappings", {"orgID": org, "db": name})
        if any(one["bucketID"] == bucket_id and one["default"] for one in found["content"]):
            return False
        body = {"orgID": org, "bucketID": bucket_id, "database": name, "retention_policy": "autogen", "default": True}
        await self._json("POST", "/api/v2/dbrps", "map the bucket for InfluxQL", body=body)
        return True

    async def _org_id(self) -> str:
        found = await self._json("GET", "/api/v2/orgs", "find the organisation", {"org": self._influx.org})
        return str(found["orgs"][0]["id"])

    async def _bucket(self, org: str) -> dict[str, Any] | None:
        query = {"orgID": org, "name": self._influx.bucket}
        status, answer = await self._ask("GET", "/api/v2/buckets", "find the bucket", query)
        if status == 404:
            return None
        if status != 200:
            raise self._refusal("find the bucket", status, answer)
        found: list[dict[str, Any]] = json.loads(answer)["buckets"]
        return found[0] if found else None

    async def _json(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None = None, body: Any = None
    ) -> Any:
        data = None if body is None else json.dumps(body).encode()
        status, answer = await self._ask(method, path, what, query, data)
        if status >= 300:
            raise self._refusal(what, status, answer)
        return json.loads(answer)

    async def _ask(
        self, method: str, path: str, what: str, query: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        if self._session is None:
            raise RuntimeError("use `async with ScalarStore(...)`")
        try:
            async with self._session.request(method, self._influx.url + path, params=query, data=body) as answer:
                return answer.status, await answer.read()
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Unreachable(
                f"cannot {what} at InfluxDB {self._influx.url}: {error or type(error).__name__}",
                "is InfluxDB running? see `fleetbox servers where` and [site.*.influx] url in fleet.toml",
            ) from error

    def _refusal(self, what: str, status: int, answer: bytes) -> FleetboxError:
        target = f"bucket {self._influx.bucket!r} of InfluxDB {self._influx.url}"
        message = f"cannot {what} at {target}: {status} {_message(answer)}"
        if status in (401, 403):
            return AccessDenied(message, "check [site.*.influx] token and org in fleet.toml")
        if status == 404:
            return NotFound(message, "check [site.*.influx] org and bucket in fleet.toml")
        if status == 429 or status >= 500:
            return Unreachable(message, "InfluxDB is overloaded or out of order: see its own log")
        return StoreRefused(message, status)


def _message(answer: bytes) -> str:
    try:
        found = json.loads(answer)
    except ValueError:
        found = None
    text = found.get("message") or found.get("error") if isinstance(found, dict) else answer.decode(errors="replace")
    return str(text)[:300]  # a parse error repeats every line it was sent


def _retention_s(bucket: Mapping[str, Any]) -> int:
    return next((int(rule["everySeconds"]) for rule in bucket.get("retentionRules", [])), 0)


def _quote(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
