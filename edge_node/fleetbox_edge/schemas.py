"""Keep every stream's schema beside its records, as an attachment that travels with them."""

from __future__ import annotations

import asyncio
from typing import Any

from fleetbox import chunks
from fleetbox.errors import FleetboxError
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.ports import Door

KEY = "schema"
LOOK_S = 0.5  # schemas change when a stream begins, and hardly ever after
_LENGTH = slice(4, 8)  # of an Arrow stream's first message, the schema, after its mark


class Schemas:
    """Learn schemas from records as they are made and write each new one once."""

    def __init__(self, door: Door, robot: str, bound_us: int) -> None:
        self._door, self._robot, self._bound_us = door, robot, bound_us
        self._seen: set[tuple[str, str, bytes]] = set()
        self._known: dict[tuple[str, str], dict[str, Any]] = {}
        self._due: dict[tuple[str, str], dict[str, Any]] = {}
        self._one_at_a_time = asyncio.Lock()  # the agent's own look and a flush that will not wait for it

    @property
    def due(self) -> bool:
        """Tell whether a schema waits to be written."""
        return bool(self._due)

    def learn(self, parcel: Parcel, data: bytes) -> None:
        """Look at a record; cheap unless its schema is new. Called from worker threads."""
        to = parcel.address
        mark = data[: 8 + int.from_bytes(data[_LENGTH], "little")] if parcel.rows else to.content_type.encode()
        if (to.cls, to.stream, mark) in self._seen:
            return
        self._seen.add((to.cls, to.stream, mark))
        known = self._known.get((to.cls, to.stream), {})
        schema: dict[str, Any] = {"type": to.type, "content_type": to.content_type, "robot": self._robot}
        if parcel.rows:
            fields = chunks.widened(known.get("fields", {}), chunks.fields(data))
            schema |= {"fields": fields, "chunk_bound_us": self._bound_us}
        self._known[to.cls, to.stream] = self._due[to.cls, to.stream] = schema

    async def run(self) -> None:
        """Write what is new until cancelled; a store that is away is asked again."""
        while True:
            await self.write()
            await asyncio.sleep(LOOK_S)

    async def write(self) -> None:
        """Write what is new now; what the store does not take stays due."""
        async with self._one_at_a_time:
            await self._write()

    async def _write(self) -> None:
        for key, schema in list(self._due.items()):
            cls, stream = key
            try:
                stored = (await self._door.store.attachments(cls, stream)).get(KEY, {})
                await self._door.store.write_attachment(cls, stream, KEY, grown(stored, schema))
            except FleetboxError:
                continue  # the writer meets the same trouble, and says so
            if self._due.get(key) is schema:
                del self._due[key]


def grown(stored: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the stored one's fields beside its own; kinds and the bound of its chunks only widen."""
    if stored.get("type") != schema["type"] or "fields" not in schema:
        return schema
    bound_us = max(schema["chunk_bound_us"], stored.get("chunk_bound_us", 0))
    fields = chunks.widened(stored.get("fields", {}), schema["fields"])
    return schema | {"fields": fields, "chunk_bound_us": bound_us}
