"""The books close, whatever happens in which order; lost and unexplained are what was lost, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from hypothesis import example, given
from hypothesis import strategies as st

from fleetbox.ledger import (
    MINUTE_US,
    Count,
    Key,
    Line,
    Page,
    Removal,
    Standing,
    count_of,
    fold,
    minute_of,
)
from fleetbox.records import Head
from fleetbox_replication.audit.books import Range, close
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.rows import Row
from fleetbox_replication.audit.settling import Listing, Minute, settle
from fleetbox_replication.audit.terms import EVICTED
from fleetbox_replication.reconcile.standings import FLOOR

START_US = minute_of(1_790_000_040_000_000)
HOPS = (Hop("r1", "edge", True, own=("edge", "cloud")), Hop("edge", "cloud", False, own=("cloud",)))
STREAM = "imu"
LATER_US = 3_600_000_000  # long after: nothing is on its way any more


def count(records: Iterable[int]) -> Count:
    """Count records, each known by its time."""
    return count_of(Head("b", STREAM, at, 100, {"xxh": f"{at:016x}"}, "x/y") for at in records)


@dataclass
class Place:
    """What one place holds, ever held, and how far its ring has turned; `kept` = 1 or edge of what is labelled."""

    name: str
    held: set[int] = field(default_factory=set)
    ever: set[int] = field(default_factory=set)
    keep: dict[int, str] = field(default_factory=dict)
    chosen: set[int] = field(default_factory=set)  # ever labelled here
    horizon_us: int = 0
    evicted: set[int] = field(default_factory=set)
    vanished: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    told: set[int] = field(default_factory=set)  # minutes

    def put(self, record: int, keep: str | None = None) -> None:
        """Hold a record, or label it, but in no minute of which something vanished.

        By counts that would look like one record taken away and written anew, which is no loss.
        """
        if minute_of(record) in {minute_of(gone) for gone in self.vanished}:
            return
        self.held.add(record)
        self.ever.add(record)
        if keep:
            self.keep[record] = keep
            self.chosen.add(record)

    def selected(self, labels: tuple[str, ...]) -> set[int]:
        """Return what is there and labelled."""
        return {record for record in self.held if self.keep.get(record) in labels}

    def line(self, minute_us: int) -> Line:
        """Return what a census says of a minute."""

        def of(records: set[int]) -> Count:
            return count(record for record in records if minute_of(record) == minute_us)

        held = of(self.held)
        return Line(
            "sensor",
            STREAM,
            minute_us,
            held,
            of(self.selected(("1", "edge"))),
            of(self.selected(("1",))),
            held.records,
            minute_us,
            minute_us,
            partial=self.horizon_us > minute_us,
        )


class World:
    """A robot, its edge and the cloud; every method is something that happens."""

    def __init__(self) -> None:
        self.robot, self.edge, self.cloud = Place("r1"), Place("edge"), Place("cloud")
        self.places = (self.robot, self.edge, self.cloud)
        self.refused: tuple[set[int], set[int]] = (set(), set())
        self.stood: tuple[set[int], set[int]] = (set(), set())
        self.pages: list[Page] = []
        self.now_us = START_US + 10 * MINUTE_US
        self.number = 0
        self.overclaimed = False

    def write(self, number: int) -> None:
        """Write a record into one of three minutes; a third of them is labelled at once."""
        self.number += 1
        time_us = START_US + (number % 3) * MINUTE_US + self.number
        if time_us >= self.robot.horizon_us:  # an old record would be the next to go; rings are not written that way
            self.robot.put(time_us, (None, "1", "edge")[number % 9 // 3])

    def select(self, number: int) -> None:
        """Label one record of the robot late."""
        if left := sorted(self.robot.held - self.robot.keep.keys()):
            self.robot.put(left[number % len(left)], "1")

    def promote(self, number: int) -> None:
        """Turn `edge` into `1` at the edge."""
        if left := sorted(self.edge.selected(("edge",))):
            self.edge.put(left[number % len(left)], "1")

    def arrive(self, number: int) -> None:
        """Bring one record over a hop, unless it is refused."""
        step = number % 2
        left = sorted(self._open(step) - self.refused[step])
        if left:
            record = left[number // 2 % len(left)]
            self.places[step + 1].put(record, self.places[step].keep[record])

    def evict(self, number: int) -> None:
        """Let the ring of a place turn over its oldest records; censuses look before and after."""
        place = self.places[number % 3]
        self.census(number % 3)
        for record in sorted(place.held)[: 1 + number // 3 % 3]:
            place.held.discard(record)
            place.evicted.add(record)
            place.horizon_us = max(place.horizon_us, record + 1)  # what came late from before it turns nothing back
        self.census(number % 3)

    def make_room(self, number: int) -> None:
        """Let the robot remove one record by value, and say so; it may not know of an arrival. Censuses look around."""
        left = sorted(self.robot.held)
        if not left:
            return
        self.census(0)
        record = left[number // 2 % len(left)]
        is_chosen, has_arrived = record in self.robot.chosen, record in self.edge.ever
        undelivered = int(is_chosen and not (has_arrived and number % 2))
        self.overclaimed = self.overclaimed or (bool(undelivered) and has_arrived)
        self.robot.held.discard(record)
        self.robot.removed.add(record)
        gone = Removal("sensor", STREAM, minute_of(record), 1, 100, undelivered, "room on the disk", self.now_us)
        self._page(Page("r1", "r1", self.now_us, removals=(gone,)))
        self.census(0)

    def vanish(self, number: int) -> None:
        """Lose a record of a source to nobody knows what."""
        place = self.places[number % 2]
        left = sorted(record for record in place.held if minute_of(record) >= place.horizon_us)
        if left:
            self.census(number % 2)
            record = left[number // 2 % len(left)]
            place.held.discard(record)
            place.vanished.add(record)
            self.census(number % 2)

    def refuse(self, number: int) -> None:
        """Let a destination refuse one record that is on its way."""
        step = number % 2
        if left := sorted(self._open(step)):
            self.refused[step].add(left[number // 2 % len(left)])

    def lift(self, number: int) -> None:
        """Lift the cause: what was refused waits again."""
        self.refused[number % 2].clear()

    def census(self, number: int) -> None:
        """Let a place write down what it holds; minutes it told of and that are empty now are told of too."""
        place = self.places[number % 3]
        minutes = {minute_of(record) for record in place.held} | place.told
        place.told |= minutes
        lines = tuple(place.line(minute_us) for minute_us in sorted(minutes))
        self._page(Page(place.name, "r1", self.now_us, lines))

    def reconcile(self, number: int) -> None:
        """Let a source's reconciler say what is open, and settle what it said before."""
        step = number % 2
        self.census(step)
        self.census(step + 1)
        lost, odd, floored = self.lost(step), self.odd(step), self.floored(step)
        left = self._open(step)
        rest = {minute_of(record) for record in lost | odd | left | floored}
        standings = []
        for minute_us in sorted(rest | self.stood[step]):
            refused = _within(self.refused[step] & left, minute_us)
            standings.append(
                Standing(
                    self.places[step + 1].name,
                    "sensor",
                    STREAM,
                    minute_us,
                    _within(left, minute_us) - refused,
                    {"400 quota": refused} if refused else {},
                    {
                        **({EVICTED: n} if (n := _within(lost, minute_us)) else {}),
                        **({FLOOR: n} if (n := _within(floored, minute_us)) else {}),
                    },
                    _within(odd, minute_us),
                )
            )
        self.stood[step].clear()
        self.stood[step].update(rest)
        self._page(Page(self.places[step].name, "r1", self.now_us, standings=tuple(standings)))

    def wanted(self, step: int) -> set[int]:
        """Return what a hop ever had to carry."""
        if step == 0:
            return self.robot.chosen
        return {record for record in self.edge.chosen if self.edge.keep.get(record) == "1"}

    def lost(self, step: int) -> set[int]:
        """Return what the source's ring took before it arrived."""
        return (self.wanted(step) & self.places[step].evicted) - self.places[step + 1].ever

    def floored(self, step: int) -> set[int]:
        """Return what the robot gave up before it arrived."""
        return (self.wanted(step) & self.places[step].removed) - self.places[step + 1].ever

    def odd(self, step: int) -> set[int]:
        """Return what is gone from the source, not through its ring, and never arrived."""
        return (self.wanted(step) & self.places[step].vanished) - self.places[step + 1].ever

    def arrived(self, step: int) -> set[int]:
        """Return what arrived over a hop."""
        return self.wanted(step) & self.places[step + 1].ever

    def listings(self) -> dict[tuple[str, Key], Listing]:
        """List both ends of both hops as they are now."""
        found: dict[tuple[str, Key], Listing] = {}
        for step, hop in enumerate(HOPS):
            source, target = self.places[step], self.places[step + 1]
            chosen = source.selected(("1", "edge") if step == 0 else ("1",))
            for minute_us in (START_US + at * MINUTE_US for at in range(3)):
                mine = {record for record in chosen if minute_of(record) == minute_us}
                there = {record for record in target.held if minute_of(record) == minute_us}
                turned = source.horizon_us > minute_us
                listing = Listing(count(there), len(mine), len(mine - there), turned)
                found[hop.site, ("sensor", STREAM, minute_us)] = listing
        return found

    def books(self, *, listed: bool = False, passed_us: int = 0) -> list[Row]:
        """Close the books from the pages, and from listings too."""
        listings = self.listings() if listed else {}
        meant = Range(START_US, START_US + 5 * MINUTE_US, self.now_us + passed_us, listings=listings)
        return close(fold("r1", self.pages), HOPS, meant)

    def removed_behind(self, step: int) -> bool:
        """Tell whether a hop's destination has lost what had arrived: such a minute has a test of its own."""
        return bool(self.places[step + 1].vanished)

    def blurred(self) -> bool:
        """Tell whether both ends of a hop have let go of records: no listing tells then which of them had arrived."""
        gone = [bool(place.evicted or place.vanished or place.removed) for place in self.places]
        return any(near and far for near, far in itertools.pairwise(gone))

    def _open(self, step: int) -> set[int]:
        return self.places[step].selected(("1", "edge") if step == 0 else ("1",)) - self.places[step + 1].ever

    def _page(self, page: Page) -> None:
        self.now_us += 1_000
        self.pages.append(replace(page, written_us=self.now_us))


def _within(records: Iterable[int], minute_us: int) -> int:
    return sum(minute_of(record) == minute_us for record in records)


ACTS = (
    "write",
    "write",
    "select",
    "promote",
    "arrive",
    "arrive",
    "evict",
    "vanish",
    "make_room",
    "make_room",
    "refuse",
    "lift",
    "census",
    "reconcile",
)
happenings = st.lists(st.tuples(st.sampled_from(ACTS), st.integers(0, 35)), max_size=40)


def lived(acts: list[tuple[str, int]]) -> World:
    """Return the world after these acts."""
    world = World()
    for name, number in acts:
        world.now_us += 1_000_000
        getattr(world, name)(number)
    return world


@given(happenings)
def test_both_equations_hold_at_any_moment(acts: list[tuple[str, int]]) -> None:
    """Whatever happened, and however old the pages are: no term is negative and the terms add up."""
    world = World()
    for name, number in acts:
        world.now_us += 1_000_000
        getattr(world, name)(number)
        for listed in (False, True):
            for row in world.books(listed=listed, passed_us=number * 10_000_000):
                assert row.balanced
                assert min(row.arrived, row.waiting, row.unexplained, row.kept_on_robot) >= 0
                assert type(row.waiting) is type(row.unexplained) is int


@given(happenings)
def test_once_all_have_looked_every_term_is_the_truth(acts: list[tuple[str, int]]) -> None:
    """When every place has written its page and the reconcilers have spoken, each term counts what really happened."""
    world = lived(acts)
    world.reconcile(0)
    world.reconcile(1)
    rows = {row.hop: row for row in world.books(passed_us=LATER_US)}
    for step, hop in enumerate(HOPS):
        row = rows.get(hop.site) or Row("r1", STREAM, "sensor", hop.site)
        if world.removed_behind(step):
            continue
        left = world._open(step)
        refused = left & world.refused[step]
        assert row.recorded == len(world.places[step].ever)
        assert row.selected == len(world.wanted(step))
        assert row.arrived == len(world.arrived(step))
        assert row.waiting == len(left - refused)
        assert sum(row.refused.values()) == len(refused)
        gone = len(world.lost(step) | world.floored(step))
        assert sum(row.lost.values()) + row.unexplained == gone + len(world.odd(step))
        if not world.overclaimed:
            assert row.unexplained == len(world.odd(step))
            assert row.lost.get(FLOOR, 0) == len(world.floored(step))
        assert sum(row.removed.values()) == (len(world.robot.removed) if step == 0 else 0)


def test_what_a_site_lost_again_has_not_arrived() -> None:
    """A record that vanished from the edge waits while the robot has it, and is nobody's proof once it has not."""
    world = lived([("write", 3), ("write", 4), ("arrive", 0), ("arrive", 0), ("census", 0), ("census", 1)])
    assert [(row.arrived, row.waiting) for row in world.books(passed_us=LATER_US) if row.hop == "edge"] == [(2, 0)]
    world.vanish(1)
    assert [(row.arrived, row.waiting) for row in world.books(passed_us=LATER_US) if row.hop == "edge"] == [(1, 1)]
    for _ in range(2):
        world.vanish(0)
    (row,) = [row for row in world.books(passed_us=LATER_US) if row.hop == "edge"]
    assert (row.arrived, row.waiting, row.wrong) == (1, 0, 1)


def test_another_record_in_its_place_stays_a_refusal() -> None:
    """A page that is younger than the word of a conflict and counts as many, others, takes nothing of it back."""
    want, there = count([START_US, START_US + 1]), count([START_US, START_US + 2])
    standing = Standing("edge", "sensor", STREAM, START_US, refused={"409": 1})
    minute = Minute(
        START_US, want, 2, told_us=LATER_US, have=there, have_told_us=LATER_US, standing=standing, stood_us=1
    )
    terms = settle(minute, START_US + 2 * LATER_US)
    assert (terms.selected, terms.arrived, terms.refused, terms.unexplained) == (2, 1, {"409": 1}, 0)
    came = settle(replace(minute, have=want), START_US + 2 * LATER_US)
    assert (came.arrived, came.refused.total()) == (2, 0)


@given(happenings)
def test_listing_both_ends_finds_the_same_without_a_reconciler(acts: list[tuple[str, int]]) -> None:
    """Where no reconciler has ever spoken, a listing of both ends names what waits and what the ring took."""
    world = lived([act for act in acts if act[0] not in ("reconcile", "refuse")])
    for number in range(3):
        world.census(number)
    rows = {row.hop: row for row in world.books(listed=True, passed_us=LATER_US)}
    for step, hop in enumerate(HOPS):
        row = rows.get(hop.site) or Row("r1", STREAM, "sensor", hop.site)
        if world.removed_behind(step):
            continue
        gone = world.lost(step) | world.odd(step) | world.floored(step)
        assert (row.wrong > 0) <= bool(gone), "nothing is called lost that is not"
        if not world.blurred():
            assert row.wrong == len(gone)
            assert row.waiting == len(world._open(step))


@given(happenings)
@example([("write", 4), ("arrive", 0), ("evict", 1), ("vanish", 0), ("write", 3), ("arrive", 0), ("evict", 1)])
def test_pages_alone_never_cry_wolf(acts: list[tuple[str, int]]) -> None:
    """Without listings and reconcilers the counts may call waiting what is gone, never lost what is not."""
    world = lived([act for act in acts if act[0] not in ("reconcile", "refuse")])
    for number in range(3):
        world.census(number)
    for row in world.books(passed_us=LATER_US):
        step = row.step
        if world.removed_behind(step):
            continue
        assert row.wrong <= len(world.lost(step) | world.odd(step) | world.floored(step))
