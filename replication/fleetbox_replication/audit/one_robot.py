"""Gather one robot's books: its pages from the nearest place that answers, and listings of what no page tells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from fleetbox.carried import read_carried
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.ledger import MINUTE_US, Key, Ledger, Page, entry_of, minute_of, read_pages
from fleetbox.naming import RING_CLASSES
from fleetbox.selectors import Selector, matches_glob
from fleetbox.settings import FleetSettings, Place, Tier
from fleetbox_replication.audit.books import Listings, Range, close, minutes, order_of
from fleetbox_replication.audit.hops import Hop, hops_of
from fleetbox_replication.audit.listing import End, list_ends, open_lines
from fleetbox_replication.audit.order import Stream, gaps
from fleetbox_replication.audit.reaching import Reached
from fleetbox_replication.audit.rows import Row
from fleetbox_replication.audit.settling import GRACE_US, Listing

LISTED_MINUTES = 300  # of a hop whose ends differ and of which no reconciler has spoken: 10,000 heads or so


@dataclass(frozen=True, slots=True)
class Question:
    """Say what an audit is about: streams, times in µs, and the tier or site that alone is to be asked.

    `live`: list what no page tells yet; without, the books end where the pages do, and are closed much faster.
    """

    selector: Selector
    start_us: int
    stop_us: int
    now_us: int
    tier: Tier | None = None
    site: str | None = None
    live: bool = True


class RobotBooks:
    """Gather and close the books of one robot; `ledger` holds what was read so far, `hops` and `meant` what counts."""

    def __init__(self, fleet: FleetSettings, question: Question, reached: Reached, robot: str) -> None:
        self._question, self._reached, self._robot = question, reached, robot
        self._asked = asked_of(fleet, question, robot)
        self._route = fleet.route(robot)
        self.hops = hops_of(fleet, robot, self._last_site())
        self.meant = Range(
            question.start_us, question.stop_us, question.now_us,
            partial(matches_glob, question.selector.stream), partial(_ships_whole, fleet),
        )  # fmt: skip
        self.ledger = Ledger(robot)

    async def read(self) -> None:
        """Read the pages of every place, each from the nearest copy that can be reached."""
        for place in dict.fromkeys([self._robot, *(hop.site for hop in self.hops)]):
            await self._read(place)
        await self._read_carried()

    async def closed(self) -> tuple[list[Row], dict[str, int]]:
        """Return the rows, and how far each place's pages reach in µs."""
        await self.read()
        until_us = dict(self.ledger.until_us)
        if self._question.live:
            for asked in self._asked:
                await self._list_open(asked)
            await self.look(LISTED_MINUTES, grace_us=0)
        return close(self.ledger, self.hops, self.meant), until_us

    async def look(self, limit: int, grace_us: int = GRACE_US) -> None:
        """List both ends of each hop in up to so many minutes that are over for `grace_us` and differ; see `meant`."""
        listings: Listings = {
            at: found for hop in self.hops for at, found in (await self._list_differing(hop, limit, grace_us)).items()
        }
        self.meant = replace(self.meant, listings=listings)
        await self.look_ahead()

    async def look_ahead(self) -> None:
        """Where numbers are missing, look at the nearest place for records that no page tells of yet.

        The open minute is listed; streams with records of times to come are named in `meant`.
        """
        if not gaps(order_of(self.ledger.of(self._robot), self.meant), self.ledger.drops, self._question.now_us):
            return
        ahead = set[Stream]()
        for place in self._asked[:1]:
            if not self._question.live:
                await self._list_open(place)
            end = self._end(place.name)
            for cls in RING_CLASSES if end is not None else ():
                try:
                    entries = await end.store.entries(end.bucket_of(cls)) if end is not None else []
                except FleetboxError:
                    continue  # the gaps stand; the place is named by whoever needs it whole
                ahead |= {(cls, info.name) for info in entries if info.latest_us > self._question.now_us}
        self.meant = replace(self.meant, ahead=frozenset(ahead))

    def _last_site(self) -> str | None:
        """Return the site that the books end at: the only one asked, else the last of the route."""
        if self._question.site is None and self._question.tier in (None, "robot"):
            return None
        return self._asked[-1].name if self._asked else None

    async def _read(self, writer: str) -> None:
        """Fold the pages that a place wrote, from the nearest copy that can be reached."""
        entry, start_us = entry_of(writer, self._robot), minute_of(self._question.start_us)
        names = [place.name for place in self._route]
        behind = self._asked if writer == self._robot else self._asked[_position(self._asked, names, writer) :]
        for place in behind:
            store = self._reached.stores.get(place.name)
            if store is None:
                continue
            try:
                bucket = place.bucket(self._robot, "meta")
                pages = [page async for _, page in read_pages(store, bucket, (entry,), start_us=start_us)]
            except FleetboxError as error:
                self._reached.lose(place.name, error)
                continue
            for page in pages:
                self.ledger.add(page)
            return

    async def _read_carried(self) -> None:
        """Add up what sticks brought to each site, from the last place that answers: notes travel as pages do."""
        by_hand: dict[str, Counter[Key]] = {}
        for place in self._asked:
            store = self._reached.stores.get(place.name)
            if store is None or place.tier == "robot":
                continue
            try:
                notes = await read_carried(store, place.bucket(self._robot, "meta"))
            except FleetboxError:
                continue  # the books are whole without: only how it arrived is not told
            told: dict[str, Counter[Key]] = {}
            for note in notes:
                told.setdefault(note.site, Counter()).update(note.records)
            for site, counts in told.items():
                by_hand[site] = by_hand.get(site, Counter()) | counts  # the same notes, as far as they have come
        self.meant = replace(self.meant, by_hand=by_hand)

    async def _list_open(self, place: Place) -> None:
        end = self._end(place.name)
        if end is None:
            return
        asked = self._question
        try:
            lines = await open_lines(end, self.ledger.of(place.name), asked.start_us, asked.stop_us, asked.now_us)
        except FleetboxError as error:
            self._reached.lose(place.name, error)
            return
        self.ledger.add(Page(place.name, self._robot, self._question.now_us, lines))

    async def _list_differing(self, hop: Hop, limit: int, grace_us: int) -> dict[tuple[str, Key], Listing]:
        """List both ends of a hop where they differ and no reconciler has spoken since, the newest minutes first."""
        source, there = self._end(hop.source), self._end(hop.site)
        if source is None or there is None:
            return {}
        over_us = self._question.now_us - grace_us - MINUTE_US if grace_us else self._question.stop_us
        differing = [key for key in self._differing(hop) if key[2] <= over_us]
        keys = sorted(differing, key=lambda key: -key[2])[:limit]
        try:
            listed = await list_ends(source, there, keys, lambda key: hop.reach(key[0], key[1]))
        except FleetboxError:
            return {}  # the counts stand; the place is named by whoever needs it whole
        return {(hop.site, key): listing for key, listing in listed.items()}

    def _differing(self, hop: Hop) -> list[Key]:
        stood_us = self.ledger.stood_us.get(hop.site, {})
        here, there = self.ledger.of(hop.source), self.ledger.of(hop.site)
        found = []
        for key, terms in minutes(self.ledger, hop, self.meant):
            told_us = max(folded.told_us for folded in (here.get(key), there.get(key)) if folded)
            if terms.open and stood_us.get(key, -1) < told_us:
                found.append(key)
        return found

    def _end(self, name: str) -> End | None:
        place = next((place for place in self._asked if place.name == name), None)
        store = self._reached.stores.get(name)
        if place is None or store is None:
            return None
        return End(store, partial(place.bucket, self._robot))


def _position(asked: Sequence[Place], names: Sequence[str], writer: str) -> int:
    """Return where in the asked places those begin that can hold a writer's pages: itself and what comes after it."""
    first = names.index(writer)
    return sum(names.index(place.name) < first for place in asked)


def _ships_whole(fleet: FleetSettings, stream: str) -> bool:
    rule = fleet.policy.rule_for(stream)
    return rule.ship == "always" and rule.at is None  # what travels later is not there yet, in part


def asked_of(fleet: FleetSettings, question: Question, robot: str) -> list[Place]:
    """Return the places of a robot's route that are to be asked; none for a robot that has left the fleet."""
    try:
        route = fleet.route(robot)
    except NotFound:
        return []
    return [place for place in route if question.tier in (None, place.tier) and question.site in (None, place.name)]
