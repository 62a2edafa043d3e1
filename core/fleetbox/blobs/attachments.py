"""Attachments of an entry: small JSON documents by key, kept by the engine in `<entry>/$meta` and replicated."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from fleetbox.blobs.reading import Query, Reader
from fleetbox.blobs.resuming import Listing, resumed
from fleetbox.blobs.writing import Writer
from fleetbox.errors import StoreRefused
from fleetbox.records import Draft, Record

CONTENT_TYPE = "application/json"
META = "/$meta"  # the engine's name for the entry that holds another one's attachments
TOGETHER = 100  # entries in one query: more make it no faster
STAMPS = 16  # times tried: another writer may stamp in the same microsecond


class Attachments:
    """Read and write attachments in one store; stamps are our own, unique and rising."""

    def __init__(self, reader: Reader, writer: Writer, listing: Listing, now_us: Callable[[], int]) -> None:
        self._reader = reader
        self._writer = writer
        self._listing = listing
        self._now_us = now_us
        self._last_us = 0

    async def read(self, bucket: str, entry: str) -> dict[str, dict[str, Any]]:
        """Return {key: document}; empty if the entry has none."""
        return (await self.read_many(bucket, [entry]))[entry]

    async def read_many(self, bucket: str, entries: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Return {entry: {key: document}}, an eighth of the time that asking one by one takes."""
        found: dict[str, dict[str, dict[str, Any]]] = {entry: {} for entry in entries}
        for first in range(0, len(entries), TOGETHER):
            query = Query(bucket, tuple(f"{entry}{META}" for entry in entries[first : first + TOGETHER]))
            async for record in resumed(self._reader, self._listing, query, None):
                if isinstance(record, Record) and "key" in record.labels:
                    found[record.entry.removesuffix(META)][record.labels["key"]] = json.loads(record.data)
        return found

    async def write(self, bucket: str, entry: str, key: str, value: dict[str, Any]) -> None:
        """Write a document under a key, in place of the one before; an equal one is left alone.

        The engine removes the old version before it takes the new one, so needless writes are needless risk.
        """
        if (await self.read(bucket, entry)).get(key) == value:
            return
        data = json.dumps(value, separators=(",", ":")).encode()
        for _ in range(STAMPS):
            draft = Draft(f"{entry}{META}", self._stamp_us(), data, {"key": key}, CONTENT_TYPE)
            report = await self._writer.write(bucket, [draft])
            if not report.refused and not report.already:
                return
        _, status, message = report.refused[0] if report.refused else (draft, 409, "the time is taken")
        raise StoreRefused(f"cannot attach {key} to {bucket}/{entry}: {message}", status)

    def _stamp_us(self) -> int:
        self._last_us = max(self._now_us(), self._last_us + 1)
        return self._last_us
