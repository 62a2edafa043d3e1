"""Decide what becomes of a record that the store refused, or said yes to and does not show."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from fleetbox.blobs import writing
from fleetbox.blobs.unlisted import Absence, listed, unhide, unlisted
from fleetbox.errors import NotFound, StoreRefused
from fleetbox.records import Draft, Head
from fleetbox_edge.parcels import Parcel
from fleetbox_edge.ports import Door, Hooks, Pair
from fleetbox_edge.session import Session

FINAL = frozenset({400, 413, 422})  # what the engine will never take, however often it is asked
HEALING = "healing"  # the trouble with half-written records; it ends by itself
HALF_WRITTEN = 425  # for a minute, in case somebody is still sending it
STATUS = {Absence.HIDDEN: HALF_WRITTEN, Absence.FOREIGN: 409}
NOT_KEPT = 507  # as the engine answers itself, once it has noticed that its disk is full
BUMPS = 100  # a key taken by a record that isn't ours: look this far for a free one


class Settler:
    """Close the accounts of records by what the store really holds."""

    def __init__(
        self, session: Session, door: Door, hooks: Hooks, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._session, self._door, self._hooks, self._monotonic_s = session, door, hooks, monotonic_s
        self._hidden: dict[tuple[str, str, int], float] = {}  # records that no query shows -> since when

    async def unlisted(self, cls: str, pairs: list[Pair]) -> list[tuple[Draft, Absence]]:
        """Return what the store said yes to and no query shows; one that the ring has turned over was there."""
        found = await unlisted(self._door.store, cls, [draft for _, draft in pairs])
        for draft, why in found:
            if why is Absence.HIDDEN:
                await self._unhide(cls, draft)
        return [(draft, why) for draft, why in found if why is not Absence.TURNED]

    async def _unhide(self, cls: str, draft: Draft) -> None:
        """Make room for a record to be written anew, once its twin is so old that nobody can be sending it."""
        key, now_s = (cls, draft.entry, draft.time_us), self._monotonic_s()
        if now_s - self._hidden.setdefault(key, now_s) >= writing.TORN_AFTER_S:
            del self._hidden[key]
            await unhide(self._door.store, cls, draft.entry, draft.time_us)

    def is_near_full(self) -> bool:
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

    def done(self, cls: str, pairs: list[Pair]) -> None:
        """Close accounts of what is readable; whoever counts minutes hears of it first, lest a kill comes between."""
        for _, draft in pairs:
            self._hooks.stored(cls, draft.entry, draft.time_us)
        self._session.acknowledge([parcel for parcel, _ in pairs])

    async def settle(self, cls: str, pair: Pair, status: int, message: str) -> None:
        """Decide what becomes of a refused record; one whose account stays open is tried again."""
        parcel, draft = pair
        if status == 409 and (await self._is_there(cls, parcel, draft) or await self._beside(cls, parcel, draft)):
            return
        parcel.torn = status == HALF_WRITTEN
        what = f"{draft.entry} at {draft.time_us} in bucket {cls}"
        topic = HEALING if parcel.torn else cls  # others of the class are written meanwhile
        self._hooks.trouble(topic, StoreRefused(f"the store refused {what}: {message} (status {status})", status))
        if status in FINAL:
            self.lose(parcel, f"refused {status}")

    async def was_whole(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Tell whether the store got the whole chunk that these rows were part of, before the spool was damaged."""
        if parcel.probe is None:
            return False
        key_us, seq, rows = parcel.probe
        head = await listed(self._door.store, cls, draft.entry, key_us)
        wanted = (draft.labels["session"], str(seq), str(rows))
        if head is None or (head.labels.get("session"), head.labels.get("seq"), head.labels.get("rows")) != wanted:
            return False
        self.done(cls, [(parcel, replace(draft, time_us=key_us))])
        return True

    async def _is_there(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Tell whether the store's record of this key is this one, packed differently; send the rows it lacks."""
        try:
            head = await self._door.store.head(cls, draft.entry, draft.time_us)
        except (NotFound, StoreRefused):
            return False
        if not _is_mine(draft, head):
            return False
        shown = await listed(self._door.store, cls, draft.entry, draft.time_us)
        if shown is None:
            await self._unhide(cls, draft)
            parcel.torn = True
            return True  # its account stays open: it is written anew
        if not _is_mine(draft, shown):
            await self._door.store.delete(cls, draft.entry, [draft.time_us])  # the newer of two: this one
            return False
        stored = int(head.labels.get("rows", "0"))
        if stored < parcel.rows:
            parcel.rest = parcel.tail(stored)
            if parcel.rest is None:
                return False  # it ends within a piece: better some rows twice than any not at all
            with self._session.lock:
                self._session.outbox.put(parcel.rest)
                parcel.rows = stored
        self.done(cls, [(parcel, draft)])
        return True

    async def _beside(self, cls: str, parcel: Parcel, draft: Draft) -> bool:
        """Write under the next free key: another program's record stands under this one."""
        for bump_us in range(1, BUMPS):
            moved = replace(draft, time_us=draft.time_us + bump_us)
            report = await self._door.store.write(cls, [moved])
            if not report.refused:
                absent = await self.unlisted(cls, [(parcel, moved)])
                if absent and absent[0][1] in STATUS:
                    continue
                if absent:
                    return False
                self.done(cls, [(parcel, moved)])
                return True
            if report.refused[0][1] != 409:
                return False
            if await self._is_there(cls, parcel, moved):
                return True
        self.lose(parcel, "key taken")
        return True

    def lose(self, parcel: Parcel, reason: str) -> None:
        """Close the account of a record that is given up."""
        with self._session.lock:
            self._session.outbox.lose(parcel, reason)
            self._session.spool.sweep(parcel.address.cls)


def _is_mine(draft: Draft, head: Head) -> bool:
    """Tell whether a stored record begins with the same number of the same session."""
    labels = head.labels
    return (labels.get("session"), labels.get("seq")) == (draft.labels["session"], draft.labels["seq"])
