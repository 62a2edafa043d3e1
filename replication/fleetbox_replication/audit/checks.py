"""Judge the books for `status` and `doctor`: what the last hour's pages say is lost, refused, dropped or in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from fleetbox.checks import Check
from fleetbox.ledger import Ledger, Standing
from fleetbox.selectors import Selector
from fleetbox.settings import FleetSettings
from fleetbox.time import show_duration, show_time
from fleetbox_replication.audit.books import Range, close
from fleetbox_replication.audit.gathering import robots_of
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.one_robot import Question, RobotBooks
from fleetbox_replication.audit.reaching import Reached
from fleetbox_replication.audit.rows import Row
from fleetbox_replication.reconcile.standings import DELETED, FLOOR, SAVED, TOO_OLD

HOUR_US = 3_600_000_000  # µs; what a person on the phone means by "just now"; 6,000 lines of 31 streams: 0.1 s
SHORT_US = 600_000_000  # µs; of a whole fleet, whose `audit` is what is asked for more
FEW = 5  # robots that are still looked at over the hour
LIMIT_S = 7.0  # below the limit of `doctor`, which would say only that nothing was checked
LISTED_MINUTES = 30  # that differ although both ends have told of them: 1,000 heads or so, well within the limit
NAMED = 3  # streams in a finding
NO_FAULT = (SAVED, DELETED, TOO_OLD)  # on their way in `kept`, deleted by a person, or past what the site keeps


async def books(
    fleet: FleetSettings, robot: str | None, now_us: Callable[[], int] = lambda: time.time_ns() // 1000
) -> list[Check]:
    """Check the books of one robot over the last hour, of many over ten minutes.

    Of many from the pages alone; of few also from the stores, where a settled minute's pages differ: what has gone from
    both ends since they were written must not pass for what still waits.
    """
    now, found = now_us(), list[Check]()
    try:
        async with asyncio.timeout(LIMIT_S), Reached() as reached:
            many = robot is None and len(fleet.known_robots) > FEW
            asked = Question(Selector(robot or "*"), now - (SHORT_US if many else HOUR_US), now, now, live=False)
            robots = await robots_of(fleet, asked, reached)
            for name in robots if reached.stores else ():  # where nothing answers, the check of places says so
                one = RobotBooks(fleet, asked, reached, name)
                await one.read()
                if not many:
                    await one.look(LISTED_MINUTES)
                else:
                    await one.look_ahead()
                found += judge(one.ledger, one.hops, one.meant)
    except TimeoutError:
        text = f"the ledger could not be read within {LIMIT_S:g} s"
        found.append(Check("WARN", "books", robot or fleet.fleet, text, next_step="fleetbox audit"))
    return found


@dataclass(slots=True)
class _Trouble:
    """Add up one kind of trouble: how many, in which streams, since which minute."""

    count: int = 0
    waiting: int = 0
    since_us: int = 1 << 62
    streams: Counter[str] = field(default_factory=Counter)

    def add(self, stream: str, count: int, minute_us: int, waiting: int = 0) -> None:
        self.count += count
        self.waiting += waiting
        self.since_us = min(self.since_us, minute_us)
        self.streams[stream] += count

    @property
    def where(self) -> str:
        names = [stream for stream, _ in self.streams.most_common(NAMED)]
        more = len(self.streams) - len(names)
        return ", ".join(names) + (f" and {more} more streams" if more else "")


def judge(ledger: Ledger, hops: Sequence[Hop], meant: Range) -> list[Check]:
    """Return the checks of one robot's books: FAIL for what is lost, unexplained or refused, WARN for drops."""
    robot = ledger.robot
    if not ledger.until_us:
        return [Check("PASS", "books", robot, "no page of the ledger yet; one is written a minute after a record")]
    rows = close(ledger, hops, meant)
    checks = [check for hop in hops for check in _standing(robot, hop, ledger.standings.get(hop.site, {}).values())]
    odd, gaps = sum(row.unexplained for row in rows), sum(row.gaps for row in rows)
    told = sum(
        item.unexplained for of in ledger.standings.values() for key, item in of.items() if meant.holds(key)
    )  # those of other minutes are no part of the rows
    if odd > told:
        checks.append(_fail(robot, f"{odd - told:,} records unexplained", f"fleetbox audit '{robot}'"))
    given_up = sum(row.lost.get(FLOOR, 0) for row in rows)
    said = (item for of in ledger.standings.values() for key, item in of.items() if meant.holds(key))
    untold = given_up - sum(item.lost.get(FLOOR, 0) for item in said)
    if untold > 0:
        text = f"{untold:,} records given up undelivered, for the floor of {robot}'s disk"
        checks.append(_fail(robot, text, f"fleetbox audit '{robot}'", f"{untold:,} lost ({FLOOR})"))
    if gaps:
        text = f"{gaps:,} numbers are missing in the order of its streams, and no drop was counted"
        checks.append(_fail(robot, text, f"fleetbox audit '{robot}'", f"{gaps:,} numbers missing"))
    dropped = Counter[str]()
    for row in rows:
        dropped.update(row.dropped)
    if dropped:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
        text = f"samples dropped in the last {_span(meant)}: {reasons}"
        checks.append(Check("WARN", "books", robot, text, f"{dropped.total():,} dropped", f"fleetbox doctor {robot}"))
    return checks or [_in_order(robot, rows, hops, meant)]


def _standing(robot: str, hop: Hop, standings: Iterable[Standing]) -> list[Check]:
    """Judge what a hop's reconciler stands by, whichever minute it is about."""
    lost, refused, odd = dict[str, _Trouble](), dict[str, _Trouble](), _Trouble()
    for item in standings:
        for reason, count in item.lost.items():
            lost.setdefault(reason, _Trouble()).add(item.stream, count, item.minute_us)
        for reason, count in item.refused.items():
            if reason not in NO_FAULT:
                refused.setdefault(reason, _Trouble()).add(item.stream, count, item.minute_us, item.waiting)
        if item.unexplained:
            odd.add(item.stream, item.unexplained, item.minute_us)
    audit = f"fleetbox audit '{robot}'"
    checks = [
        _fail(robot, f"{it.count:,} lost before {hop.site} had them ({reason}): {it.where}", audit,
              f"{it.count:,} lost on the way to {hop.site}")
        for reason, it in lost.items()
    ]  # fmt: skip
    checks += [
        _fail(robot, f"{hop.site} refuses {it.count:,} records of {robot} ({reason}) since {show_time(it.since_us)}: "
              f"{it.where}" + (f"; {it.waiting:,} more wait" if it.waiting else ""),
              "fleetbox replicate dead-letters", f"{hop.site} refuses {it.count:,} ({reason})")
        for reason, it in refused.items()
    ]  # fmt: skip
    if odd.count:
        text = (
            f"{odd.count:,} records unexplained: gone before {hop.site} had them, and not through the ring: {odd.where}"
        )
        checks.append(_fail(robot, text, audit, f"{odd.count:,} unexplained"))
    return checks


def _in_order(robot: str, rows: Sequence[Row], hops: Sequence[Hop], meant: Range) -> Check:
    parts = []
    for hop in hops:
        own = [row for row in rows if row.hop == hop.site]
        selected, arrived = sum(row.selected for row in own), sum(row.arrived for row in own)
        unknown = any(row.unasked for row in own) and arrived < selected
        known = f"{arrived:,} of {selected:,} selected arrived at {hop.site}"
        parts.append(f"what of {selected:,} arrived at {hop.site} cannot be asked" if unknown else known)
    text = f"nothing lost in the last {_span(meant)}" + (": " + ", ".join(parts) if parts else "")
    return Check("PASS", "books", robot, text)


def _fail(robot: str, text: str, step: str, phrase: str | None = None) -> Check:
    return Check("FAIL", "books", robot, text, phrase or text, step)


def _span(meant: Range) -> str:
    return show_duration(meant.stop_us - meant.start_us)
