"""Keep what is known of each minute up to date: by the pages of both ends, and by what the relay vouches for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from fleetbox.blobs import Store
from fleetbox.ledger import Page, Removal, Standing
from fleetbox_replication.reconcile import books
from fleetbox_replication.reconcile.following import Follower, ReadAgain
from fleetbox_replication.reconcile.hop import Hop
from fleetbox_replication.reconcile.means import Means
from fleetbox_replication.reconcile.minute import PROVEN, SETTLED, Minute, is_clear, reopened

Hops = Sequence[Hop]  # those of one robot


@dataclass(frozen=True, slots=True)
class _Side:
    """Say which end's pages are read, and for which hops."""

    near: bool
    hops: dict[str, Hop]
    now_us: int


class Bookkeeper:
    """Read pages, each once, and note in the state what they open and close."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._followers: dict[tuple[bool, str], Follower] = {}

    async def read_own(self, hops: Hops) -> None:
        """Take up what the source has told since."""
        robot = hops[0].robot
        signature = json.dumps([[hop.cls, hop.reach, *hop.spec.entries] for hop in hops])
        with self._means.state.change():
            if self._means.state.start_over(robot, signature):
                self._followers.pop((True, robot), None)
                self._followers.pop((False, robot), None)
        await self._read(True, hops, self._means.source())

    async def read_far(self, hops: Hops) -> None:
        """Take up what the destination has told since."""
        await self._read(False, hops, self._means.there)

    def take_proofs(self, hops: Hops) -> None:
        """Close the minutes of which the relay has vouched for every record."""
        proofs, state = self._means.proofs, self._means.state
        now_us = self._means.options.now_us()
        with state.change():
            for hop in hops:
                for where in proofs.news(hop.spec.dst_bucket):
                    minute = state.minute(hop.robot, (hop.cls, *where[1:]))
                    if minute is None or not minute.told.records:
                        continue  # not told yet: it stays news
                    proofs.heard(where)
                    self._keep(books.vouched(minute, *proofs.count(where), hop.reach, now_us), minute, hop)

    async def _read(self, near: bool, hops: Hops, store: Store) -> None:
        """Apply the new pages of one end, and move the cursor with them."""
        hop, state = hops[0], self._means.state
        name = "here" if near else "there"
        bucket, entry = (hop.own_meta, hop.own_entry) if near else (hop.far_meta, hop.far_entry)
        follower = self._followers.setdefault((near, hop.robot), Follower(bucket, entry))
        side = _Side(near, {hop.cls: hop for hop in hops}, self._means.options.now_us())
        while True:
            before = state.cursor(name, hop.robot)
            try:
                pages, cursor = await follower.news(store, before, look_first=near)
            except ReadAgain:
                with state.change():
                    state.read_again(hop.robot)
                continue
            if cursor == before:
                break
            with state.change():
                for page in pages:
                    self._apply(page, side)
                state.move(name, hop.robot, cursor)
            await asyncio.sleep(0)  # a month of pages must not hold the loop

    def _apply(self, page: Page, side: _Side) -> None:
        state = self._means.state
        at = books.Telling(page.written_us, side.now_us)
        for stone in page.tombstones:
            state.bury(page.robot, stone)
        for gone in page.removals if side.near else ():
            self._give_up(gone, page.robot, side.now_us)
        for line in page.lines:
            hop = side.hops.get(line.cls)
            if hop is None or not hop.counts(line):
                continue
            if side.near:
                state.tell_until(hop.robot, *line.key)
            known = state.minute(hop.robot, line.key)
            if known is None and not (line.selected(hop.reach) if side.near else line.held).records:
                continue
            learn = books.told if side.near else books.arrived
            minute = known or Minute(hop.robot, *line.key)
            thinned = side.near and minute.last.records < minute.told.records and state.is_thinned(hop.robot, line.key)
            self._keep(learn(minute, line, hop.reach, replace(at, thinned=thinned)), known, hop)
        for standing in page.standings if side.near else ():
            self._recall(standing, side.hops.get(standing.cls))

    def _give_up(self, gone: Removal, robot: str, now_us: int) -> None:
        """Note what the source removed, and look again at a minute that was settled before that was known."""
        state = self._means.state
        if not state.give_up(robot, gone) or not gone.undelivered:
            return
        minute = state.minute(robot, (gone.cls, gone.stream, gone.minute_us))
        if minute is not None and minute.state == SETTLED:
            state.put(reopened(minute, now_us))

    def _recall(self, standing: Standing, hop: Hop | None) -> None:
        """Take up what was said of a minute, also before the state was lost, so that it can be taken back."""
        if hop is None or standing.site != hop.site:
            return
        key = (standing.cls, standing.stream, standing.minute_us)
        known = self._means.state.minute(hop.robot, key)
        if known is not None or not is_clear(standing):
            self._means.state.put(replace(known or Minute(hop.robot, *key), standing=standing))

    def _keep(self, minute: Minute, known: Minute | None, hop: Hop) -> None:
        """Note what has become known of a minute."""
        if minute.state == PROVEN:
            self._means.proofs.drop((hop.spec.dst_bucket, minute.stream, minute.minute_us))
        if minute != known:
            self._means.state.put(minute)
