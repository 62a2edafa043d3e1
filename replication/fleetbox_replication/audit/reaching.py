"""Reach the places of a fleet once each, and note which of them did not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Unreachable
from fleetbox.naming import split_bucket
from fleetbox.settings import Place
from fleetbox_replication.audit.rows import Unreached

REACH_S = 6.0  # a place that has not listed its buckets by then counts as unreachable: people wait for the others
ANSWER_S = 30.0  # of silence within an answer; a store over a bad link still sends something within


@dataclass(slots=True)
class Reached:
    """Hold the open stores of the places that answered; use as an async context manager, which closes them."""

    stores: dict[str, Store] = field(default_factory=dict)
    buckets: dict[str, frozenset[str]] = field(default_factory=dict)
    unreached: list[Unreached] = field(default_factory=list)
    _held: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def __aenter__(self) -> Reached:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held.aclose()

    async def reach(self, places: Iterable[Place]) -> None:
        """Ask places that were not asked before, all at once."""
        asked = {*self.stores, *(one.place for one in self.unreached)}
        fresh = {place.name: place for place in places if place.name not in asked}
        await asyncio.gather(*(self._reach(place) for place in fresh.values()))

    def lose(self, place: str, error: FleetboxError) -> None:
        """Note that a place stopped answering: it is not asked again."""
        if self.stores.pop(place, None) is not None:
            self.unreached.append(Unreached(place, error))

    def robots(self) -> set[str]:
        """Return the robots whose `meta` stands in the reached sites."""
        named = (split_bucket(bucket) for buckets in self.buckets.values() for bucket in buckets)
        return {found[0] for found in named if found and found[1] == "meta"}

    def require_any(self) -> None:
        """Raise why nothing could be read when no place answered; a wrong token goes before a dead line."""
        if self.stores or not self.unreached:
            return
        denied = [one.error for one in self.unreached if isinstance(one.error, AccessDenied)]
        if denied or len(self.unreached) == 1:
            raise denied[0] if denied else self.unreached[0].error
        lines = "\n".join(f"  {one.place}: {one.error.message}" for one in self.unreached)
        raise Unreachable(f"no place answered:\n{lines}", "are the stores running? `fleetbox doctor` looks at each")

    async def _reach(self, place: Place) -> None:
        try:
            store = await self._held.enter_async_context(Store.at(place, timeout_s=ANSWER_S))
            async with asyncio.timeout(REACH_S):
                self.buckets[place.name] = frozenset(await store.buckets())
            self.stores[place.name] = store
        except TimeoutError:
            reason = f"{place.name} at {place.url} did not answer within {REACH_S:g} s"
            self.unreached.append(Unreached(place.name, Unreachable(reason, "is it running and on the network?")))
        except FleetboxError as error:
            self.unreached.append(Unreached(place.name, error))
