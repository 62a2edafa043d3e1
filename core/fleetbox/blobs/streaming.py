"""Write one record of any size from parts, without ever holding it whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fleetbox.blobs.headers import LABEL_PREFIX, OCTETS
from fleetbox.blobs.reading import Reader
from fleetbox.blobs.writing import Access
from fleetbox.errors import FleetboxError, InputError, NotFound, StoreRefused
from fleetbox.records import Head

GIVEN_UP = 500  # what the engine says of a record once it has noticed that the rest will not come
NOTICE_S = 10.0  # it notices in milliseconds; if not, the record stays half-written, which harms nobody
NOTICE_POLL_S = 0.02


async def write_stream(access: Access, head: Head, parts: AsyncIterator[bytes]) -> bool:
    """Write the record `head` describes; return False if an equal one (size and `xxh`) is there already.

    Raises InputError if the parts make more or fewer bytes than `head.size`; nothing is left behind then.
    """
    headers = {f"{LABEL_PREFIX}{name}": value for name, value in head.labels.items()}
    headers |= {"Content-Length": str(head.size), "Content-Type": head.content_type or OCTETS}
    source = _Parts(parts, head.size)
    try:
        async with (
            access.turns.writing({(head.bucket, head.entry)}),
            access.wire.call(
                "POST",
                f"/b/{head.bucket}/{head.entry}",
                f"write {head.bucket}/{head.entry} at {head.time_us}",
                upload_bytes=max(head.size, 1),
                params={"ts": str(head.time_us)},
                headers=headers,
                data=aiter(source),
                expect100=True,  # a refusal comes before the body, not after it
            ) as answer,
        ):
            await answer.read()
    except StoreRefused as refusal:
        if refusal.status == 409 and await _is_there(access.reader, head):
            return False
        raise
    except FleetboxError as error:
        if source.fault is None:
            raise
        await _clean_up(access, head)
        raise source.fault from error
    return True


async def _clean_up(access: Access, head: Head) -> None:
    """Remove what broke off, once the engine no longer writes to it: until then it could write over a neighbour."""
    for _ in range(round(NOTICE_S / NOTICE_POLL_S)):
        try:
            await access.reader.head(head.bucket, head.entry, head.time_us)
        except NotFound:
            return
        except StoreRefused as refusal:
            if refusal.status == GIVEN_UP:
                await access.remover.remove(head.bucket, head.entry, [head.time_us])
                return
        await asyncio.sleep(NOTICE_POLL_S)


class _Parts:
    """Pass parts on, counting them, and remember why they failed: the HTTP client hides it."""

    def __init__(self, parts: AsyncIterator[bytes], size: int) -> None:
        self._parts = parts
        self._size = size
        self.fault: Exception | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        sent = 0
        try:
            async for part in self._parts:
                sent += len(part)
                if sent > self._size:
                    raise InputError(f"more bytes came than the {self._size} announced")
                yield part
            if sent < self._size:
                raise InputError(f"{sent} bytes came of the {self._size} announced")
        except Exception as error:
            self.fault = error
            raise


async def _is_there(reader: Reader, wanted: Head) -> bool:
    stored = await reader.head(wanted.bucket, wanted.entry, wanted.time_us)
    return stored.size == wanted.size and stored.labels.get("xxh") == wanted.labels.get("xxh")
