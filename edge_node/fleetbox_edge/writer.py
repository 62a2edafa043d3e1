"""Carry parcels from the outbox into the robot's own store, and try again for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress

from fleetbox.errors import AccessDenied, FleetboxError, InputError, NotFound
from fleetbox_edge.parcels import Gone, Parcel
from fleetbox_edge.ports import Door as Door  # others look for it here
from fleetbox_edge.ports import Hooks, Pair
from fleetbox_edge.session import Session
from fleetbox_edge.settling import HEALING, NOT_KEPT, STATUS, Settler
from fleetbox_edge.spool import LEAST_VALUABLE_FIRST
from fleetbox_edge.suspects import DAMAGED

GATHER_S = 0.2  # a batch waits this long to fill: the engine's cost is per request
FIRST_WAIT_S = 0.1  # a restarted store answers within a second
LONGEST_WAIT_S = 2.0  # the store is on this machine: asking costs nothing


class Writer:
    """Write every class at its own pace: a class that is refused holds up no other."""

    def __init__(self, session: Session, door: Door, robot: str, hooks: Hooks) -> None:
        self._session, self._door, self._robot, self._hooks = session, door, robot, hooks
        self._settler = Settler(session, door, hooks)
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
                self._settler.lose(parcel, DAMAGED)  # what the spool gave up was counted then
            except InputError as error:
                self._hooks.trouble(parcel.address.cls, error)
                self._settler.lose(parcel, "not packable")
            else:
                self._hooks.made(parcel, draft.data)
                pairs.append((parcel, draft))
        return pairs

    async def _send(self, cls: str, ready: asyncio.Queue[list[Pair]]) -> None:
        while True:
            pairs = await ready.get()
            refused = await self._deliver(cls, pairs)
            if refused and (len(refused) < len(pairs) or all(parcel.torn for parcel, _ in refused)):
                self._try_later(cls, refused)
            else:
                await self._insist(cls, refused)

    def _try_later(self, cls: str, pairs: list[Pair]) -> None:
        """Let the others pass: only some records of a batch were refused for now."""
        task = asyncio.create_task(self._insist(cls, pairs))
        self._later.add(task)
        task.add_done_callback(self._over)

    def _over(self, task: asyncio.Task[None]) -> None:
        self._later.discard(task)
        if not self._later:
            self._hooks.trouble(HEALING, None)

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
        pairs = [pair for pair in pairs if not await self._settler.was_whole(cls, *pair)]
        if not pairs:
            return
        near_full = self._settler.is_near_full()
        report = await self._door.store.write(cls, [draft for _, draft in pairs])
        refusals = {id(draft): (status, message) for draft, status, message in report.refused}
        taken = [pair for pair in pairs if id(pair[1]) not in refusals]
        doubtful = near_full or self._settler.is_near_full() or self._session.spool.has_company(cls)
        for draft, why in await self._settler.unlisted(cls, [pair for pair in taken if doubtful or pair[0].again]):
            refusals[id(draft)] = (STATUS.get(why, NOT_KEPT), why.value)
        if not refusals:
            self._hooks.trouble(cls, None)  # before accounts close: who waits for that finds no trouble of the past
        self._settler.done(cls, [pair for pair in taken if id(pair[1]) not in refusals])
        for pair in pairs:
            if (refusal := refusals.get(id(pair[1]))) is not None:
                await self._settler.settle(cls, pair, *refusal)

    async def _make_bucket(self, cls: str) -> None:
        try:
            await self._door.ensure_bucket(cls)
        except FleetboxError as error:
            self._hooks.trouble(cls, error)
