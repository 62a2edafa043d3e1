"""The door to one bucket of an InfluxDB 2: everything fleetbox does with InfluxDB goes through here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from fleetbox.errors import StoreRefused
from fleetbox.measurements import measurement_of
from fleetbox.points import Points
from fleetbox.scalars import buckets
from fleetbox.scalars.report import ScalarReport
from fleetbox.scalars.rolled import RolledAsk, quote
from fleetbox.scalars.wire import Wire
from fleetbox.scalars.writing import Writer
from fleetbox.settings import Influx

TIMEOUT_S = 30.0  # a compaction can hold a write back for seconds


@dataclass(frozen=True, slots=True)
class Series:
    """Hold one series of an InfluxQL answer; times are µs since the epoch."""

    name: str
    tags: dict[str, str]
    columns: list[str]
    rows: list[list[Any]]


class ScalarStore:
    """Reach one bucket of an InfluxDB 2. Use as an async context manager.

    Every call raises Unreachable if nothing answers in time, AccessDenied if the token will not do, and NotFound.
    """

    def __init__(self, influx: Influx, *, timeout_s: float = TIMEOUT_S) -> None:
        self._influx = influx
        self._wire = Wire(influx, timeout_s)
        self._writer = Writer(self._wire)

    async def __aenter__(self) -> Self:
        self._wire.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._wire.close()

    async def write(self, points: Iterable[Points]) -> ScalarReport:
        """Write points; equal points written again change nothing.

        What InfluxDB refuses for good is counted by reason and the rest kept. After AccessDenied, NotFound (no such
        bucket) and Unreachable any part may be written, and writing all of it again is right.
        """
        return await self._writer.write(points)

    async def write_lines(self, text: Sequence[str]) -> ScalarReport:
        """Write line protocol with times in µs; errors as in `write`."""
        return await self._writer.write_lines(text)

    async def mean(self, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> float | None:
        """Return the mean of a field from start to stop (excluded), or None when there is no value."""
        value = await self._aggregate("mean", stream, name, robot, start_us, stop_us)
        return None if value is None else float(value)

    async def count(self, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> int:
        """Return how many values a field has from start to stop (excluded)."""
        return int(await self._aggregate("count", stream, name, robot, start_us, stop_us) or 0)

    def rolled(self, stream: str, robot: str, start_us: int, stop_us: int, site: str | None = None) -> RolledAsk:
        """Return what asks about the roll-ups of a stream from start to stop (excluded), as one site wrote them."""
        return RolledAsk(self.query, stream, robot, site, (start_us, stop_us))

    async def query(self, influxql: str, params: Mapping[str, Any] | None = None) -> list[Series]:
        """Ask in InfluxQL, which panels use and InfluxDB 3 still answers; `$name` in the text takes `params`."""
        query = {"db": self._influx.bucket, "epoch": "u", "q": influxql, "params": json.dumps(dict(params or {}))}
        status, answer = await self._wire.ask("GET", "/query", "query", query)
        if status != 200:
            raise self._wire.refusal("query", status, answer)
        result = json.loads(answer)["results"][0]
        if "error" in result:
            if "database not found" in result["error"]:
                raise self._wire.refusal("query", 404, result["error"].encode())
            raise StoreRefused(f"InfluxDB at {self._influx.url} refused {influxql!r}: {result['error']}", 400)
        return [
            Series(one.get("name", ""), one.get("tags", {}), one["columns"], one.get("values", []))
            for one in result.get("series", [])
        ]

    async def ensure_bucket(self, retention_s: int | None = None) -> bool:
        """Make the bucket, its retention (0 = for ever) and the mapping InfluxQL needs; say whether anything changed.

        Without a retention the settings' own counts, and without that the bucket's stays as it is. The token needs to
        read and write the organisation's buckets and DBRP mappings.
        """
        return await buckets.ensure(self._wire, self._influx.retention_s if retention_s is None else retention_s)

    async def retention_s(self) -> int | None:
        """Return how long the bucket keeps points, 0 = for ever; None when there is no such bucket."""
        return await buckets.retention_s(self._wire)

    async def started(self) -> str | None:
        """Return a text that changes whenever InfluxDB is started anew; None when it does not tell."""
        status, answer = await self._wire.ask("GET", "/ready", "ask whether it is ready")
        try:
            return str(json.loads(answer)["started"]) if status == 200 else None
        except (ValueError, KeyError, TypeError):
            return None

    async def _aggregate(self, what: str, stream: str, name: str, robot: str, start_us: int, stop_us: int) -> Any:
        text = (
            f"SELECT {what}({quote(name)}) FROM {quote(measurement_of(stream))} "
            f"WHERE robot::tag = $robot AND time >= {int(start_us)}u AND time < {int(stop_us)}u"
        )
        found = await self.query(text, {"robot": robot})
        return found[0].rows[0][1] if found else None
