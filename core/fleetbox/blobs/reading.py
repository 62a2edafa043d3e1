"""Read single records, and answers of many records in the order of time."""

from __future__ import annotations

import json
from asyncio import IncompleteReadError
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import aiohttp

from fleetbox.blobs.headers import decode_heads, decode_single
from fleetbox.blobs.values import Condition
from fleetbox.blobs.wire import Wire, pieces, whole
from fleetbox.records import Head, Record

END_US = 2**63 - 1  # later than any record
TTL_S = 60  # how long the engine keeps an idle query; a slower consumer costs one more query, not its place
PART_BYTES = 1 << 20  # one part of a streamed payload
SLICEABLE_BYTES = 1 << 16  # records smaller than this on average are cut out of one read body

_in_order = attrgetter("time_us", "entry")


@dataclass(frozen=True, slots=True)
class Query:
    """Say which records are wanted: [start_us, stop_us) of the entries that match, in one bucket."""

    bucket: str
    entries: tuple[str, ...]
    start_us: int | None = None
    stop_us: int | None = None
    when: Condition | None = None
    head: bool = False

    @property
    def empty(self) -> bool:
        """Tell whether the range holds no time at all; the engine refuses to be asked."""
        return self.stop_us is not None and (self.start_us or 0) >= self.stop_us


class Reader:
    """Read from one store."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    async def head(self, bucket: str, entry: str, time_us: int) -> Head:
        """Describe one record. Raises NotFound, or StoreRefused with status 425 if its bytes never all came."""
        what = f"look at {bucket}/{entry} at {time_us}"
        async with self._wire.call("HEAD", f"/b/{bucket}/{entry}", what, params={"ts": str(time_us)}) as answer:
            return decode_single(bucket, entry, answer.headers)

    async def read(self, bucket: str, entry: str, time_us: int) -> Record:
        """Read one record whole."""
        what = f"read {bucket}/{entry} at {time_us}"
        async with self._wire.call("GET", f"/b/{bucket}/{entry}", what, params={"ts": str(time_us)}) as answer:
            return _with_data(decode_single(bucket, entry, answer.headers), await whole(answer))

    async def read_stream(self, bucket: str, entry: str, time_us: int) -> AsyncIterator[bytes]:
        """Read one record of any size in parts of up to 1 MB, never holding more than a few of them."""
        what = f"read {bucket}/{entry} at {time_us}"
        async with self._wire.call("GET", f"/b/{bucket}/{entry}", what, params={"ts": str(time_us)}) as answer:
            async for part in answer.content.iter_chunked(PART_BYTES):
                yield part

    async def open(self, query: Query) -> str:
        """Start a query; return its id. Raises NotFound if there is no such bucket.

        Both ends are always given: the engine fills in a missing one from each entry's own range, and refuses the
        whole query (422) if that makes the range of one of them empty.
        """
        wanted = {
            "query_type": "QUERY",
            "entries": list(query.entries),
            "start": query.start_us or 0,
            "stop": END_US if query.stop_us is None else query.stop_us,
            "when": query.when,
            "only_metadata": query.head,
            "ttl": TTL_S,
        }
        body = json.dumps({name: value for name, value in wanted.items() if value is not None})
        async with self._wire.call(
            "POST",
            f"/io/{query.bucket}/q",
            f"query bucket {query.bucket}",
            data=body,
            headers={"Content-Type": "application/json"},
        ) as answer:
            return str(json.loads(await answer.read())["id"])

    async def fetch(self, query: Query, query_id: str) -> tuple[list[Record] | list[Head], bool]:
        """Fetch the next records of a query by time and entry, and whether they were the last."""
        method = "HEAD" if query.head else "GET"
        async with self._wire.call(
            method,
            f"/io/{query.bucket}/read",
            f"read bucket {query.bucket}",
            headers={"x-reduct-query-id": query_id},
        ) as answer:
            if answer.status == 204:
                return [], True
            heads = decode_heads(query.bucket, answer.headers)
            last = answer.headers.get("x-reduct-last") == "true"
            if query.head:
                return sorted(heads, key=_in_order), last
            records = await _bodies(answer, heads)
            return sorted(records, key=_in_order), last


async def _bodies(answer: aiohttp.ClientResponse, heads: list[Head]) -> list[Record]:
    total_bytes = sum(head.size for head in heads)
    if total_bytes >= SLICEABLE_BYTES * len(heads):
        return [_with_data(head, await answer.content.readexactly(head.size)) for head in heads]
    bodies = cut(await pieces(answer), [head.size for head in heads])
    return [_with_data(head, data) for head, data in zip(heads, bodies, strict=True)]


def cut(pieces: Sequence[bytes], sizes: Sequence[int]) -> Iterator[bytes]:
    """Yield payloads of these sizes out of a body that came in pieces; joining it first would copy it once more."""
    rest = iter(pieces)
    piece, at = b"", 0
    for size in sizes:
        parts, missing = [], size
        while missing > len(piece) - at:
            parts.append(piece[at:])
            missing -= len(parts[-1])
            piece, at = next(rest, b""), 0
            if not piece:
                raise IncompleteReadError(b"".join(parts), size)
        parts.append(piece[at : at + missing])
        at += missing
        yield parts[0] if len(parts) == 1 else b"".join(parts)


def _with_data(head: Head, data: bytes) -> Record:
    return Record(head.bucket, head.entry, head.time_us, head.size, head.labels, head.content_type, data)
