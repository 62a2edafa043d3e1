"""Watch every robot through the ledger that the books read anyway: what boards show of robots, streams and letters."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from fleetbox.blobs import EntryInfo, Store
from fleetbox.disk import write_whole
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.ledger import STREAM as LEDGER
from fleetbox.ledger import Key, Ledger
from fleetbox.measurements import DEAD_LETTERS, HEALTH_STREAMS, ROBOTS
from fleetbox.naming import RING_CLASSES, site_bucket
from fleetbox.policies import policy_in_force
from fleetbox.settings import Policy
from fleetbox_cloud.feeds.points import point
from fleetbox_cloud.feeds.robots import Bad, Known, Letters, Waiting, fields_of, letters_of
from fleetbox_cloud.feeds.streams import stream_lines
from fleetbox_replication.audit.books import Range, minutes
from fleetbox_replication.audit.hops import Hop
from fleetbox_replication.audit.terms import Terms
from fleetbox_replication.dead_letters import LetterGroup
from fleetbox_replication.expect_checks import ENOUGH, deliveries

log = structlog.get_logger()

FILE = "watch.json"  # in the site's state folder: what the ledger's pages of the last day told and is not read again
RING = "fleetbox/ring"  # where agents tell how long their rings hold, every ten minutes
REFRESH_US = 300_000_000  # µs; three small requests a robot: 20 a second for 2,000 of them

SOON_S = 2.0  # robots of one look are told of together

LettersBy = dict[tuple[str, str], Letters]  # by robot and reason


@dataclass(frozen=True, slots=True)
class Sight:
    """Hold what a robot's ledger tells now: which minutes changed, and all those that may be told otherwise by now.

    `untold` is what a ring took before any page told of it; see Memory.
    """

    ledger: Ledger
    hops: Sequence[Hop]
    changed: Collection[Key]
    keys: Collection[Key]
    meant: Range
    untold: Mapping[Key, Terms]


class RobotWatch:
    """Remember how each robot of a site stands.

    `policy` is for robots that have not told which one they follow; `mine` tells of which robots this site writes:
    one that an earlier site on their way writes into the same InfluxDB is left to that site.
    """

    def __init__(self, site: str, state: Path, policy: Callable[[], Policy], mine: Callable[[str], bool]) -> None:
        self._site, self._path, self._policy, self._mine = site, state / FILE, policy, mine
        self._known: dict[str, Known] = {}
        self._told: set[tuple[str, str]] = set()  # letters told of last: when they are gone that is told too
        self._telling = self._told  # those of the lines made last: told of once InfluxDB has them
        self._stirred = asyncio.Event()
        self._load()

    # -- what is learnt -------------------------------------------------------------------------------------------

    def saw(self, sight: Sight) -> list[str]:
        """Learn from what a robot's ledger tells now; return points of its streams."""
        ledger = sight.ledger
        if not self._mine(ledger.robot):
            return []
        known, policy = self._of(ledger.robot), self._policy_of(ledger.robot)
        open_, bad = _terms(sight)
        for key in sight.keys:
            known.open.pop(key, None)
            known.bad.pop(key, None)
        known.open |= _stood(sight, known.open) | open_
        known.bad |= bad
        if (trouble := known.trouble()) != known.told_trouble:
            known.told_trouble = trouble
            self._stirred.set()
        known.dropped = _dropped(ledger)
        if not sight.changed:
            return []
        self._learn_streams(known, ledger, policy)
        return list(stream_lines(ledger, policy, self._site, sight.changed))

    def streams_of(self, ledger: Ledger, changed: Collection[Key]) -> list[str]:
        """Return points of the streams of some minutes, of a ledger that tells of long ago: nothing is learnt of it."""
        if not self._mine(ledger.robot):
            return []
        return list(stream_lines(ledger, self._policy_of(ledger.robot), self._site, changed))

    async def rest(self, most_s: float) -> None:
        """Wait until what is refused, lost or unexplained is told otherwise than before, or for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(most_s):
                await self._stirred.wait()
                await asyncio.sleep(SOON_S)
        self._stirred.clear()

    async def refresh(self, store: Store, sizes: Mapping[str, int], now_us: int) -> None:
        """Ask the site's own store how long rings hold, which policies are followed, and who has told anything at all.

        `sizes` are the bytes of each robot's `meta`. Robots that were asked within the last minutes are left out, but
        for those that have told something new and nothing of their rings so far.
        """
        for robot, size in sorted(sizes.items()):
            known = self._of(robot)
            new = known.held_h is None and size != known.meta_bytes
            if self._mine(robot) and (new or now_us - known.refreshed_us >= REFRESH_US):
                await self._refresh(store, known)
                known.refreshed_us, known.meta_bytes = now_us, size
                known.forget(now_us)

    # -- what is told ---------------------------------------------------------------------------------------------

    def lines(self, robots: Iterable[str], groups: Iterable[LetterGroup], now_us: int) -> list[str]:
        """Return a point per robot, and one per robot and reason of dead letters; `groups` are those of our own hop."""
        chosen = [robot for robot in robots if self._mine(robot)]
        letters = self._letters(chosen, groups)
        counts: Counter[str] = Counter()
        for (robot, _), one in letters.items():
            counts[robot] += one.count
        made = [
            point(ROBOTS, self._tags(robot), fields_of(self._of(robot), counts[robot], now_us), now_us)
            for robot in chosen
        ]
        gone = dict.fromkeys(self._told - letters.keys(), Letters(0, now_us))  # told until InfluxDB has it
        for (robot, reason), one in {**gone, **letters}.items():
            fields = {"letters": one.count, "oldest_s": max(0, now_us - one.since_us) / 1e6}
            made.append(point(DEAD_LETTERS, {**self._tags(robot), "reason": reason}, fields, now_us))
        self._telling = set(letters)
        return [line for line in made if line is not None]

    def save(self) -> None:
        """Write down what a restart would not read again, once InfluxDB has taken the lines."""
        self._told = self._telling
        robots = {
            robot: {
                "newest_us": known.newest_us,
                "streams": [known.streams, known.streams_well],
                "bad": [[*key, one.lost, one.unexplained] for key, one in known.bad.items()],
                "open": [[*key, one.waiting, one.refused] for key, one in known.open.items()],
            }
            for robot, known in self._known.items()
        }
        write_whole(self._path, json.dumps({"robots": robots, "letters": sorted(self._told)}))

    # -- inside ---------------------------------------------------------------------------------------------------

    def _of(self, robot: str) -> Known:
        return self._known.setdefault(robot, Known(robot))

    def _tags(self, robot: str) -> dict[str, str]:
        return {"robot": robot, "site": self._site}

    def _policy_of(self, robot: str) -> Policy:
        return self._of(robot).policy or self._policy()

    def _letters(self, robots: Collection[str], groups: Iterable[LetterGroup]) -> LettersBy:
        """Add what our own hop could not deliver to what the ledger tells of the hop to us."""
        found: LettersBy = {
            (robot, reason): one for robot in robots for reason, one in letters_of(self._of(robot)).items()
        }
        for group in groups:
            robot = group.bucket.rpartition("--")[0]
            if robot in robots:
                key = (robot, f"{group.status} at the next site")
                before = found.get(key, Letters(0, group.since_us))
                found[key] = Letters(before.count + group.letters, min(before.since_us, group.since_us))
        return found

    def _learn_streams(self, known: Known, ledger: Ledger, policy: Policy) -> None:
        own = ledger.of(ledger.robot).items()
        newest_us = [it.line.last_us for key, it in own if key[0] in RING_CLASSES and key[1] not in HEALTH_STREAMS]
        known.newest_us = max([known.newest_us, *newest_us])
        known.told_us = max(known.told_us, ledger.until_us.get(ledger.robot, 0))
        if (found := deliveries(ledger, policy, self._site)) is not None:
            short = {stream for stream, share in found.shares.items() if share < ENOUGH}
            short |= found.expected - found.present
            known.streams = len(found.present | found.expected)
            known.streams_well = known.streams - len(short)

    async def _refresh(self, store: Store, known: Known) -> None:
        bucket = site_bucket(known.robot, "meta")
        try:
            entries = {info.name: info for info in await store.entries(bucket) if info.records}
        except NotFound:
            return  # it has never sent anything
        if LEDGER in entries:
            known.told_us = max(known.told_us, entries[LEDGER].latest_us)
        if RING in entries:
            known.held_h = await _held_h(store, bucket, entries[RING])
        known.policy = await policy_in_force(store, bucket)

    def _load(self) -> None:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            for robot, told in found["robots"].items():
                known = self._of(robot)
                known.newest_us = int(told["newest_us"])
                known.streams, known.streams_well = told["streams"]
                known.bad = {(cls, stream, at): Bad(lost, odd) for cls, stream, at, lost, odd in told["bad"]}
                known.open = {
                    (cls, stream, at): Waiting(waiting, refused)
                    for cls, stream, at, waiting, refused in told.get("open", [])  # older files have none
                }
            self._told = self._telling = {(robot, reason) for robot, reason in found["letters"]}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            self._known.clear()  # the pages of the next minutes tell again; losses of before are in the books
            log.warning("what was known of robots is forgotten", file=str(self._path), why=str(error))


def _terms(sight: Sight) -> tuple[dict[Key, Waiting], dict[Key, Bad]]:
    """Return what waits and what is lost of the minutes that may have changed, over all hops."""
    open_: dict[Key, Waiting] = {}
    bad: dict[Key, Bad] = {}
    for hop in sight.hops:
        for key, terms in minutes(sight.ledger, hop, sight.meant, sight.keys):
            if hop.first and key in sight.untold:
                terms.add(sight.untold[key])
            if terms.waiting or terms.refused:
                before = open_.get(key, Waiting())
                open_[key] = Waiting(before.waiting + terms.waiting, Counter(before.refused) + terms.refused)
            if (lost := terms.lost.total()) or terms.unexplained:
                was = bad.get(key, Bad())
                bad[key] = Bad(was.lost + lost, was.unexplained + terms.unexplained)
    return open_, bad


def _stood(sight: Sight, open_: Iterable[Key]) -> dict[Key, Waiting]:
    """Return what the newest standings say of minutes that are open and that the books do not look at any more.

    A site that was started again, and one that has read a robot's last day anew, looks at no older minute.
    """
    standings = [sight.ledger.standings.get(hop.site, {}) for hop in sight.hops]
    found: dict[Key, Waiting] = {}
    for key in open_:
        told = [one[key] for one in standings if key in one]
        if told:
            refused = sum((Counter(one.refused) for one in told), Counter[str]())
            found[key] = Waiting(sum(one.waiting for one in told), refused)
    return found


def _dropped(ledger: Ledger) -> Mapping[int, int]:
    found: Counter[int] = Counter()
    for drop in ledger.drops:
        found[drop.time_us] += drop.rows
    return found


async def _held_h(store: Store, bucket: str, entry: EntryInfo) -> float | None:
    """Return how many hours a robot's shortest ring holds, as its agent told last."""
    try:
        told = json.loads((await store.read(bucket, RING, entry.latest_us)).data)
        return min((float(ring["holds_h"]) for ring in told["rings"].values() if ring.get("holds_h")), default=None)
    except (FleetboxError, ValueError, KeyError, TypeError, AttributeError):
        return None  # gone meanwhile, or of another version: the next one tells
