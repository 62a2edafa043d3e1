"""Read what a stream says of itself: type, fields, rate, and how long its chunks may be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.chunks import BOUND_US
from fleetbox.errors import NotFound
from fleetbox_query.inventory import Holding
from fleetbox_query.stores import Stores

KEY = "schema"  # the attachment's key
CHUNKED = "time_series"
READS = 16  # attachment readings in flight per place


@dataclass(frozen=True, slots=True)
class Schema:
    """Hold a stream's schema; a stream that never wrote one has only what its class allows."""

    type: str = ""
    fields: dict[str, dict[str, Any]] = field(default_factory=dict)
    rate_hz: float | None = None
    chunk_bound_us: int | None = None
    content_type: str = ""

    @property
    def bound_us(self) -> int:
        """Return how far before a window a chunk that reaches into it may start."""
        if self.type and self.type != CHUNKED:
            return 0
        return BOUND_US if self.chunk_bound_us is None else self.chunk_bound_us


UNSAID = Schema()  # a stream that never wrote a schema


def parse_schema(raw: Any) -> Schema:
    """Read the attachment's value; anything unusable counts as not said."""
    if not isinstance(raw, dict):
        return Schema()
    fields = raw.get("fields")
    rate, bound = raw.get("rate_hz"), raw.get("chunk_bound_us")
    return Schema(
        str(raw.get("type", "")),
        {str(name): one for name, one in fields.items() if isinstance(one, dict)} if isinstance(fields, dict) else {},
        float(rate) if isinstance(rate, int | float) else None,
        int(bound) if isinstance(bound, int | float) and bound >= 0 else None,
        str(raw.get("content_type", "")),
    )


async def read_schemas(stores: Stores, holdings: Sequence[Holding]) -> dict[tuple[str, str, str], Schema]:
    """Return every holding's schema by its key."""
    room = asyncio.Semaphore(READS)

    async def one(holding: Holding) -> Schema:
        if holding.cls == "media":  # never chunked, so nothing here hangs on its schema
            return Schema("images")
        async with room:
            try:
                kept = await (await stores.at(holding.place)).attachments(holding.bucket, holding.stream)
            except NotFound:
                return Schema()
        return parse_schema(kept.get(KEY))

    found = await asyncio.gather(*(one(holding) for holding in holdings))
    return {holding.key: schema for holding, schema in zip(holdings, found, strict=True)}
