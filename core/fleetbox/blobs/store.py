"""The door to one store: everything fleetbox does with ReductStore goes through here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from fleetbox.blobs import buckets, streaming, tasks, tokens
from fleetbox.blobs.attachments import Attachments
from fleetbox.blobs.patterns import engine_globs
from fleetbox.blobs.reading import Query, Reader
from fleetbox.blobs.relabelling import relabel
from fleetbox.blobs.removing import Remover
from fleetbox.blobs.resuming import resumed
from fleetbox.blobs.turns import Turns
from fleetbox.blobs.values import (
    BucketSpec,
    Condition,
    EntryInfo,
    Gap,
    RelabelReport,
    StoreInfo,
    TaskInfo,
    TaskMode,
    TaskSpec,
    TokenInfo,
    TokenSpec,
    WriteReport,
)
from fleetbox.blobs.wire import Wire
from fleetbox.blobs.writing import Access, Writer
from fleetbox.clock import Clock
from fleetbox.errors import FleetboxError, Unreachable
from fleetbox.labels import Labels
from fleetbox.records import Draft, Head, Record

if TYPE_CHECKING:
    from fleetbox.settings import Place

TIMEOUT_S = 30.0  # the engine gives up on a silent peer after the same time
POLL_S = 0.05  # a store is ready about 0.1 s after its start


class Store:
    """Talk to one ReductStore over one session, kept for as long as the store is used.

    Every call raises Unreachable if nothing answers in time, AccessDenied if the token will not do, NotFound, or
    StoreRefused with the store's status.

    Example:
        async with Store("http://127.0.0.1:8383", token, name="r7") as store:
            report = await store.write("sensor", drafts)
            async for record in store.query("sensor", ("imu", "cam/*"), start_us=0):
                ...
    """

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        timeout_s: float = TIMEOUT_S,
        ca_file: Path | None = None,
        name: str = "store",
        clock: Clock | None = None,
        monotonic_s: Callable[[], float] = time.monotonic,
        turns_in: Path | None = None,  # where processes that write to the same entries take turns
    ) -> None:
        self.url = url.rstrip("/")
        self.name = name
        self._wire = Wire(url, token, timeout_s=timeout_s, ca_file=ca_file, name=name)
        self._reader = Reader(self._wire)
        turns = Turns(turns_in)
        self._access = Access(self._wire, self._reader, Remover(self._wire, self._reader, turns), turns)
        self._writer = Writer(self._access, monotonic_s)
        self._attachments = Attachments(self._reader, self._writer, self.entries, (clock or Clock()).now_us)

    @classmethod
    def at(cls, place: Place, *, timeout_s: float = TIMEOUT_S) -> Store:
        """Return the store of a place, with the place's token as it stands now; raises AccessDenied without one."""
        return cls(place.url, place.current_token(), timeout_s=timeout_s, name=place.name)

    async def __aenter__(self) -> Store:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the session; calling it again does nothing."""
        await self._wire.close()

    # -- the server ---------------------------------------------------------------------------------------------

    async def info(self) -> StoreInfo:
        """Return version, uptime, bytes on disk and number of buckets."""
        with self._wire.translating("ask what it is"):
            info = await self._wire.admin.info()
        return StoreInfo(info.version, info.uptime, info.usage, info.bucket_count)

    async def wait_ready(self, timeout_s: float) -> None:
        """Return once the store takes requests; raise Unreachable with the last reason after timeout_s."""
        last: FleetboxError | None = None
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    try:
                        async with self._wire.call("GET", "/ready", "find it ready"):
                            return
                    except Unreachable as error:
                        last = error
                    await asyncio.sleep(POLL_S)
        except TimeoutError as error:
            raise last or Unreachable(f"{self.name} ({self.url}) was not ready within {timeout_s:g} s") from error

    # -- buckets ------------------------------------------------------------------------------------------------

    async def buckets(self) -> list[str]:
        """Return the names of the buckets, sorted, without the engine's own."""
        return await buckets.names(self._wire)

    async def bucket_sizes(self) -> dict[str, int]:
        """Return the bytes each bucket holds, of those this token may see, in one request."""
        return await buckets.sizes(self._wire)

    async def ensure_bucket(self, name: str, spec: BucketSpec) -> bool:
        """Create a bucket or change it to `spec`; return whether anything changed."""
        return await buckets.ensure(self._wire, name, spec)

    async def bucket_spec(self, name: str) -> BucketSpec | None:
        """Return how a bucket is kept, or None if there is none."""
        return await buckets.spec(self._wire, name)

    async def remove_bucket(self, name: str) -> None:
        """Remove a bucket with everything in it."""
        await buckets.remove(self._wire, name)

    async def entries(self, bucket: str) -> list[EntryInfo]:
        """Return the entries of a bucket, sorted, in one request."""
        return await buckets.entries(self._wire, bucket)

    # -- writing ------------------------------------------------------------------------------------------------

    async def write(self, bucket: str, drafts: Sequence[Draft]) -> WriteReport:
        """Write any number of drafts to any entries; every one of them is counted or named in the report.

        A record that is there already counts as `already` if its size and `xxh` are the same (without `xxh`, its
        bytes), and is refused with 409 if not. One that is half-written is refused with 425 for the first minute and
        while others of its entry are younger than that, then removed and written again (`healed`). Calling again with
        the same drafts after Unreachable is safe.
        """
        return await self._writer.write(bucket, drafts)

    async def write_stream(
        self,
        bucket: str,
        entry: str,
        time_us: int,
        parts: AsyncIterator[bytes],
        size: int,
        labels: Labels,
        content_type: str,
    ) -> bool:
        """Write one record of any size from parts; return False if an equal one is there already.

        Raises InputError if the parts make more or fewer bytes than `size`; nothing is left behind then.
        """
        head = Head(bucket, entry, time_us, size, labels, content_type)
        return await streaming.write_stream(self._access, head, parts)

    async def relabel(self, bucket: str, times: Mapping[str, Sequence[int]], labels: Labels) -> RelabelReport:
        """Add the same labels to records, given as {entry: times in µs}; an empty value removes a label."""
        return await relabel(self._wire, bucket, times, labels)

    async def delete(self, bucket: str, entry: str, times: Sequence[int]) -> int:
        """Remove records by their times in µs; return how many were there.

        The engine copies the rest of a block to a new file then, so: half-written records beside the removed ones
        are covered first, lest the whole block be given up, and writes to the entry through this Store are waited
        for. A write by *another* process in the same moment can end up with wrong bytes; its `xxh` shows it.
        """
        return await self._access.remover.remove(bucket, entry, times)

    # -- reading ------------------------------------------------------------------------------------------------

    async def head(self, bucket: str, entry: str, time_us: int) -> Head:
        """Describe one record. Raises NotFound, or StoreRefused with status 425 if it is half-written."""
        return await self._reader.head(bucket, entry, time_us)

    async def read(self, bucket: str, entry: str, time_us: int) -> Record:
        """Read one record whole."""
        return await self._reader.read(bucket, entry, time_us)

    def read_stream(self, bucket: str, entry: str, time_us: int) -> AsyncIterator[bytes]:
        """Read one record of any size in parts."""
        return self._reader.read_stream(bucket, entry, time_us)

    @overload
    def query(
        self,
        bucket: str,
        entries: Sequence[str] = ...,
        *,
        start_us: int | None = ...,
        stop_us: int | None = ...,
        when: Condition | None = ...,
        head: Literal[False] = ...,
        on_gap: Callable[[Gap], None] | None = ...,
    ) -> AsyncGenerator[Record, None]: ...

    @overload
    def query(
        self,
        bucket: str,
        entries: Sequence[str] = ...,
        *,
        start_us: int | None = ...,
        stop_us: int | None = ...,
        when: Condition | None = ...,
        head: bool,
        on_gap: Callable[[Gap], None] | None = ...,
    ) -> AsyncGenerator[Head, None]: ...

    def query(
        self,
        bucket: str,
        entries: Sequence[str] = ("**",),
        *,
        start_us: int | None = None,
        stop_us: int | None = None,
        when: Condition | None = None,
        head: bool = False,
        on_gap: Callable[[Gap], None] | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Yield records of [start_us, stop_us), or only their heads, each once, even across a restart of the store.

        Without stop_us it ends where it catches up with the writer.
        Records come in order of time within an entry; across entries nearly so, and anew after a disconnect. Globs
        are the engine's (`cam*` is a prefix across slashes, `cam/*` one segment, `!x` excludes). Memory: one answer
        of the engine, 8 MB or one record. `on_gap` is told what a ring overwrote before it could be read.
        """
        return resumed(
            self._reader,
            self.entries,
            Query(bucket, engine_globs(entries), start_us, stop_us, when, head),
            on_gap,
        )

    # -- attachments --------------------------------------------------------------------------------------------

    async def write_attachment(self, bucket: str, entry: str, key: str, value: dict[str, Any]) -> None:
        """Attach a JSON document to an entry; an equal one is left alone."""
        await self._attachments.write(bucket, entry, key, value)

    async def attachments(self, bucket: str, entry: str) -> dict[str, dict[str, Any]]:
        """Return the documents attached to an entry, by key."""
        return await self._attachments.read(bucket, entry)

    async def attachments_of(self, bucket: str, entries: Sequence[str]) -> dict[str, dict[str, dict[str, Any]]]:
        """Return the documents attached to each of many entries, as {entry: {key: document}}."""
        return await self._attachments.read_many(bucket, entries)

    # -- tasks and tokens ---------------------------------------------------------------------------------------

    async def tasks(self) -> list[TaskInfo]:
        """Return all replication tasks, sorted by name."""
        return await tasks.every(self._wire)

    async def task(self, name: str) -> TaskInfo | None:
        """Return a replication task, or None if there is none."""
        return await tasks.one(self._wire, name)

    async def put_task(self, spec: TaskSpec) -> None:
        """Create a replication task or change it; its mode stays, an empty token keeps the token it has."""
        await tasks.put(self._wire, spec)

    async def set_task_mode(self, name: str, mode: TaskMode) -> None:
        """Let a task send, or keep what it selects waiting (paused), or note nothing new (disabled)."""
        await tasks.set_mode(self._wire, name, mode)

    async def remove_task(self, name: str) -> None:
        """Remove a replication task and what waits in it."""
        await tasks.remove(self._wire, name)

    async def tokens(self) -> list[str]:
        """Return the names of all tokens, sorted."""
        return await tokens.names(self._wire)

    async def token_infos(self) -> list[TokenInfo]:
        """Return all tokens with what they may do, sorted by name."""
        return await tokens.infos(self._wire)

    async def tokens_used(self) -> dict[str, int]:
        """Return token -> when it was last used in µs, late by a minute or so; without those of which none is known."""
        return await tokens.used(self._wire)

    async def ensure_token(self, spec: TokenSpec) -> str | None:
        """Create or replace a token and return its value; None if it is there with these permissions."""
        return await tokens.ensure(self._wire, spec)

    async def remove_token(self, name: str) -> None:
        """Remove a token."""
        await tokens.remove(self._wire, name)

    async def whoami(self) -> TokenSpec:
        """Return what the token in use may do."""
        return await tokens.own(self._wire)
