"""Read what a stream says of itself: type, fields, rate, and how long its chunks may be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.chunks import BOUND_US, widened
from fleetbox.errors import NotFound
from fleetbox_query.inventory import Holding
from fleetbox_query.stores import Stores

KEY = "schema"  # the attachment's key
CHUNKED = "time_series"
READS = 16  # buckets whose attachments are read at once; each takes the engine some milliseconds


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
PICTURES = ("media", "small")  # classes that are never chunked
MEDIA = Schema("images")


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


def fields_told(best: Schema, others: Sequence[Schema]) -> dict[str, dict[str, Any]]:
    """Return the fields that places tell of one stream: `best` goes before others, numbers are as wide as any says."""
    fields: dict[str, dict[str, Any]] = {}
    for schema in (*reversed(others), best):
        if schema.type == best.type:
            fields = widened(fields, schema.fields)
    return {name: fields[name] for name in (*best.fields, *fields)}  # in the order of the best


async def read_schemas(stores: Stores, holdings: Sequence[Holding]) -> dict[tuple[str, str, str], Schema]:
    """Return every holding's schema by its key."""
    room = asyncio.Semaphore(READS)
    by_bucket: dict[tuple[str, str], list[Holding]] = {}
    for holding in holdings:
        if holding.cls not in PICTURES:  # never chunked, so nothing here hangs on its schema
            by_bucket.setdefault(holding.key[:2], []).append(holding)

    async def read(group: list[Holding]) -> dict[tuple[str, str, str], Schema]:
        async with room:
            store = await stores.at(group[0].place)
            try:
                kept = await store.attachments_of(group[0].bucket, [holding.stream for holding in group])
            except NotFound:  # the bucket was removed since it was listed
                return {}
        return {holding.key: parse_schema(kept[holding.stream].get(KEY)) for holding in group}

    found = await asyncio.gather(*map(read, by_bucket.values()))
    known = {key: schema for part in found for key, schema in part.items()}
    return {one.key: known.get(one.key, MEDIA if one.cls in PICTURES else UNSAID) for one in holdings}
