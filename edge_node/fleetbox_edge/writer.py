"""Carry parcels from the outbox into the robot's own store, and try again for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Protocol

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, InputError, NotFound, StoreRefused
from fleetbox.labels import Labels
from fleetbox.records import Draft
from fleetbox_edge.parcels import Gone, Parcel
from fleetbox_edge.readable import unreadable
from fleetbox_edge.session import Session
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST
from fleetbox_edge.store_disk import Room

GATHER_S = 0.2  # a batch waits this long to fill: the engine's cost is per request
FIRST_WAIT_S = 0.1  # a restarted store answers within a second
LONGEST_WAIT_S = 2.0  # the store is on this machine: asking costs nothing
FINAL = frozenset({400, 413, 422})  # what the engine will never take, however often it is asked
NOT_KEPT = 507  # as the engine answers itself, once it has noticed that its disk is full
BUMPS = 100  # a key taken by a record that isn't ours: look this far for a free one


class Door(Protocol):
    """Lead to the robot's store as it stands now."""

    @property
    def store(self) -> Store:
        """Return the client; it changes when the token is replaced."""

    async def renew(self) -> None:
        """Read the token again."""

    async def ensure_bucket(self, cls: str) -> None:
        """Make the bucket of a class."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """Tell others what happens: labels to give, records made, records stored, trouble met (None: over).

    `room` says what is free on the store's disk, None where that cannot be told.
    """

    kept: Callable[[str, str], Labels]
    made: Callable[[Parcel, bytes], None]
    stored: Callable[[str, str, int], None]  # class, stream, stamp in µs; before the spool lets go of it
    trouble: Callable[[str, FleetboxError | None], None]
    room: Callable[[], Room | None]


Pair = tuple[Parcel, Draft]


class Writer:
    """Write every class at its own pace: a class that is refused holds up no other."""

    def __init__(self, session: Session, door: Door, robot: str, hooks: Hooks) -> None:
        self._session, self._door, self._robot, self._hooks = session, door, robot, hooks
        self._kicks: Mapping[str, asyncio.Event] = {cls: asyncio.Event() for cls in LEAST_VALUABLE_FIRST}
        self._later: set[asyncio.Task[None]] = set()
        self._denied: set[str] = set()  # classes to read the token again for

    def kick(self, cls: str | None = None) -> None:
        """Send what is there now, without waiting for more; call it from the agent's loop."""
        for name in LEAST_VALUABLE_FIRST if cls is None else (cls,):
            self._kicks[name].set()

    async def run(self) -> None:
        """Write until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for cls in LEAST_VALUABLE_FIRST:
                    ready: asyncio.Queue[list[Pair]] = asyncio.Queue(maxsize=1)  # one batch is made while one is sent
                    group.create_task(self._make(cls, ready))
                    group.create_task(self._send(cls, ready))
        finally:
            for task in self._later:
                task.cancel()
            await asyncio.gather(*self._later, return_exceptions=True)

    async def _make(self, cls: str, ready: asyncio.Queue[list[Pair]]) -> None:
        while True:
            await self._gather(cls)
            with self._session.lock:
                batch = self._session.outbox.take(cls)
            if batch:
                await ready.put(await asyncio.to_thread(self._drafts, batch))

    async def _gather(self, cls: str) -> None:
        kick = self._kicks[cls]
        if self._session.outbox.is_full(cls):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(GATHER_S):  # wait_for would swallow a cancellation that meets a kick
                await kick.wait()
        kick.clear()

    def _drafts(self, batch: list[Parcel]) -> list[Pair]:
        pairs = []
        for parcel in batch:
            try:
                draft = parcel.draft(self._robot, self._hooks.kept(parcel.address.cls, parcel.address.stream))
            except Gone:
                self._lose(parcel, "spool full")
            except InputError as error:
                self._hooks.trouble(parcel.address.cls, error)
                self._lose(parcel, "not packable")
            else:
                self._hooks.made(parcel, draft.data)
                pairs.append((parcel, draft))
        return pairs

    async def _send(self, cls: str, ready: asyncio.Queue[list[Pair]]) -> None:
        while True:
            pairs = await ready.get()
            refused = await self._deliver(cls, pairs)
            if refused and len(refused) < len(pairs):
                self._try_later(cls, refused)
            else:
                await self._insist(cls, refused)

    def _try_later(self, cls: str, pairs: list[Pair]) -> None:
        """Let the others pass: only some records of a batch were refused for now."""
        task = asyncio.create_task(self._insist(cls, pairs))
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    async def _insist(self, cls: str, pairs: list[Pair]) -> None:
        wait_s = FIRST_WAIT_S
        while pairs:
            await asyncio.sleep(wait_s)
            wait_s = min(LONGEST_WAIT_S, wait_s * 2)
            pairs = await self._deliver(cls, pairs)

    async def _deliver(self, cls: str, pairs: list[Pair]) -> list[Pair]:
        """Write a batch; return what is to be tried again."""
        outbox = self._session.outbox
        with self._session.lock:
            pairs = [pair for pair in pairs if outbox.begin(pair[0])]
        try:
            if cls in self._denied:
                await self._door.renew()
                self._denied.discard(cls)
            await self._attempt(cls, pairs)
        except NotFound:
            await self._make_bucket(cls)
        except FleetboxError as error:
            self._hooks.trouble(cls, error)
            if isinstance(error, AccessDenied):
                self._denied.add(cls)
        finally:
            with self._session.lock:
                for parcel, _ in pairs:
                    outbox.end(parcel)
                self._session.spool.sweep(cls)
        return [pair for pair in pairs if pair[0].state == "taken"]

    async def _attempt(self, cls: str, pairs: list[Pair]) -> None:
        pairs = [pair for pair in pairs if not await self._was_whole(cls, *pair)]
        if not pairs:
            return
        near_full = self._is_near_full()
        report = await self._door.store.write(cls, [draft for _, draft in pairs])
        refusals = {id(draft): (status, message) for draft, status, message in report.refused}
        taken = [pair for pair in pairs if id(pair[1]) not in refusals]
        if taken and (near_full or self._is_near_full()):
            for draft in await unreadable(self._door.store, cls, [draft for _, draft in taken]):
                refusals[id(draft)] = (NOT_KEPT, "the store said yes to it, but cannot give it back")
        self._done(cls, [pair for pair in taken if id(pair[1]) not in refusals])
        if not refusals:
            self._hooks.trouble(cls, None)
        for pair in pairs:
            if (refusal := refusals.get(id(pair[1]))) is not None:
                await self._settle(cls, pair, *refusal)

    def _is_near_full(self) -> bool:
        """Tell whether the store's disk is, or may be, so full that its word needs a second look.

        Raises StoreRefused where even the engine's own notes would hardly fit: what is not sent is not lost.
        """
        room = self._hooks.room()
        if room is not None and room.exhausted:
            store = self._door.store
            what = f"the disk of {store.name} ({store.url}) has {room.free / 1e6:.0f} MB left"
            step = "free some space there: records wait in the spool until then"
            raise StoreRefused(f"{what}, and {room.reserve / 1e6:.0f} MB are the store's own reserve", 507, step)
        return room is None or room.near_full

    def _done(self, cls: str, pairs: list[Pair]) -> None:
        """Close accounts of what is readable; whoever counts minutes hears of it first, lest a kill comes between."""
        for _, draft in pairs:
            self._hooks.stored(cls, draft.entry, draft.time_us)
        self._session.acknowledge([parcel for parcel, _ in pairs])

    async def _make_bucket(self, cls: str) -> None:
        try:
            await self._door.ensure_bucket(cls)
        except FleetboxError as error:
            self._hooks.trouble(cls, error)

    async def _settle(self, cls: str, pair: Pair, status: int, message: str) -> None:
        """Decide what becomes of a refused record; one whose account stays open is tried again."""
        parcel, draft = pair
        if status == 409 and (await self._is_there(cls, parcel, draft) or await self._beside(cls, parcel, draft)):
            return
        what = f"{draft.entry} at {draft.time_us} in bucket {cls}"
        self._hooks.trouble(cls, StoreRefused(f"the store refused {what}: {message} (status {status})", status))
        if status in FINAL:
            self._lose(parcel, f"refused {status}")

    async def _was_whole(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Tell whether the store got the whole chunk that these rows were part of, before the spool was damaged."""
        if parcel.probe is None:
            return False
        key_us, seq, rows = parcel.probe
        try:
            labels = (await self._door.store.head(cls, draft.entry, key_us)).labels
        except (NotFound, StoreRefused):
            return False
        wanted = (draft.labels["session"], str(seq), str(rows))
        if (labels.get("session"), labels.get("seq"), labels.get("rows")) != wanted:
            return False
        self._done(cls, [(parcel, replace(draft, time_us=key_us))])
        return True

    async def _is_there(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Tell whether the store's record of this key is this one, packed differently; send the rows it lacks."""
        try:
            head = await self._door.store.head(cls, draft.entry, draft.time_us)
        except (NotFound, StoreRefused):
            return False
        mine = draft.labels
        if (head.labels.get("session"), head.labels.get("seq")) != (mine["session"], mine["seq"]):
            return False
        stored = int(head.labels.get("rows", "0"))
        if stored < parcel.rows:
            parcel.rest = parcel.tail(stored)
            if parcel.rest is None:
                return False  # it ends within a piece: better some rows twice than any not at all
            with self._session.lock:
                self._session.outbox.put(parcel.rest)
                parcel.rows = stored
        self._done(cls, [(parcel, draft)])
        return True

    async def _beside(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Write under the next free key: another program's record stands under this one."""
        for bump_us in range(1, BUMPS):
            moved = replace(draft, time_us=draft.time_us + bump_us)
            report = await self._door.store.write(cls, [moved])
            if not report.refused:
                if self._is_near_full() and await unreadable(self._door.store, cls, [moved]):
                    return False
                self._done(cls, [(parcel, moved)])
                return True
            if report.refused[0][1] != 409:
                return False
            if await self._is_there(cls, parcel, moved):
                return True
        self._lose(parcel, "key taken")
        return True

    def _lose(self, parcel: Parcel, reason: str) -> None:
        with self._session.lock:
            self._session.outbox.lose(parcel, reason)
            self._session.spool.sweep(parcel.address.cls)
