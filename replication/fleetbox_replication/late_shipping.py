"""Select later what always travels but not at once: `at = "idle"`, or hours of the day. A chore of the one labeler."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fleetbox.blobs import EntryInfo, Store
from fleetbox.disk import write_whole
from fleetbox.errors import NotFound
from fleetbox.ledger import minute_of
from fleetbox.naming import RING_CLASSES, VIDEO, parent_of
from fleetbox.records import Head
from fleetbox.settings import Policy
from fleetbox.settings.policy import Hours, StreamRule

UNSELECTED: dict[str, Any] = {"$not": [{"$has": "keep"}]}
GONE = 404  # the ring took it between the listing and the patch
STEP_S = 0.8  # a chore may hold the labeler up so long
SLICE_US = 60_000_000  # listed at a time: 1,800 heads of a camera
LATE_US = 600_000_000  # µs; looked through again at each beginning: another process' spool may have come late
SETTLE_US = 70_000_000  # µs; a chunk may be open for 60 s, and stands under the time of its first row
AT_ONCE = 2_000  # records patched between two looks at the clock

Free = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Ahead:
    """Say what of a stream is still to be selected: what begins at `from_us` or later; until `until_us`, None: on.

    `begun_us`: older records belong to another policy, also when what came late is looked for.
    """

    from_us: int
    until_us: int | None = None
    begun_us: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """Hold what decides whether a stream may go now: the minute of the day, and whether the robot is idle."""

    minute_of_day: int
    idle: bool


@dataclass(frozen=True, slots=True)
class LateOptions:
    """Bring in idleness and clocks; `backlog` is the oldest time in µs not written yet, `spent` is told the bytes.

    `touched` is told class, stream and time of what gets a label, before and after.
    """

    idle: Free
    backlog: Callable[[], int | None] = lambda: None
    touched: Callable[[str, str, int], None] = lambda cls, stream, time_us: None
    spent: Callable[[int], None] = lambda size_bytes: None
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    minute_of_day: Callable[[], int] = lambda: time.localtime().tm_hour * 60 + time.localtime().tm_min
    monotonic_s: Callable[[], float] = time.monotonic


def may_go(rule: StreamRule, moment: Moment) -> bool:
    """Tell whether what waits of a stream may travel now; under a rule without `at` it always may."""
    if rule.at is None:
        return True
    return rule.at.hold(moment.minute_of_day) if isinstance(rule.at, Hours) else moment.idle


def followed(
    known: dict[tuple[str, str], Ahead], policy: Policy, streams: Sequence[tuple[str, str]], since_us: int, now_us: int
) -> dict[tuple[str, str], Ahead]:
    """Return what is ahead of each (class, stream) under a policy that holds since `since_us`.

    A stream that has come to wait begins with the policy. One that no longer waits is brought to an end: what was
    recorded while it did is selected at once; under a policy that ships it no more it is forgotten.
    """
    found: dict[tuple[str, str], Ahead] = {}
    for key in streams:
        if parent_of(key[1])[1] == VIDEO:
            continue  # made of pictures that have travelled, or that nobody asked for
        rule, old = policy.rule_for(key[1]), known.get(key)
        if rule.ship != "always":
            continue
        if rule.at is not None:
            found[key] = replace(old, until_us=None) if old is not None else Ahead(since_us, None, since_us)
        elif old is not None:
            found[key] = old if old.until_us is not None else replace(old, until_us=now_us)
    return {key: ahead for key, ahead in found.items() if ahead.until_us is None or ahead.from_us < ahead.until_us}


class LateShipping:
    """Label what waits in one robot's own store; `step` is a chore. Each record once: what has a label is passed over.

    How far each stream has come stands in a file; a lost file costs a second look at what is labelled already, from
    the beginning of the policy in force, or of this process, on.
    """

    def __init__(self, store: Callable[[], Store], policy: Callable[[], Policy], path: Path, options: LateOptions):
        self._store, self._policy, self._path, self._options = store, policy, path, options
        self._ahead = self._load()
        self._last: Policy | None = None
        self._since_us = 0
        self._open: set[tuple[str, str]] = set()  # streams that go just now
        self.labelled = 0

    async def step(self) -> int:
        """Label for up to a second; return how many records got their label. Raises what a Store raises."""
        policy, now_us = self._policy(), self._options.now_us()
        last, switched = self._last or policy, policy.hash != (self._last and self._last.hash)
        if not self._ahead and not _waits(last) and not _waits(policy):
            self._begin(policy, now_us)
            return 0
        infos = await self._infos()
        before = dict(self._ahead)
        if switched and self._last is not None:  # streams that began to wait since the last step
            self._ahead = followed(self._ahead, self._last, list(infos), self._since_us, now_us)
        if switched:
            self._begin(policy, now_us)
        self._ahead = followed(self._ahead, policy, list(infos), self._since_us, now_us)
        until_s, done = self._options.monotonic_s() + STEP_S, 0
        for key in list(self._ahead):
            moment = Moment(self._options.minute_of_day(), self._options.idle())
            if not may_go(policy.rule_for(key[1]), moment):
                self._open.discard(key)
            elif self._options.monotonic_s() < until_s:
                done += await self._ship(key, infos[key], policy, until_s)
        if self._ahead != before:
            self._save()
        self.labelled += done
        return done

    def _begin(self, policy: Policy, now_us: int) -> None:
        """Take up a policy: what waits under it begins now, or with what is not written yet."""
        if self._last is None or self._last.hash != policy.hash:
            unsent_us = self._options.backlog()
            self._last, self._since_us = policy, min(now_us, unsent_us or now_us) - SETTLE_US

    async def _infos(self) -> dict[tuple[str, str], EntryInfo]:
        found: dict[tuple[str, str], EntryInfo] = {}
        for cls in RING_CLASSES:
            with suppress(NotFound):
                for info in await self._store().entries(cls):
                    if "$" not in info.name and info.records:
                        found[cls, info.name] = info
        return found

    async def _ship(self, key: tuple[str, str], info: EntryInfo, policy: Policy, until_s: float) -> int:
        """Go on with one stream, slice by slice, as far as it is written."""
        cls, stream = key
        ahead, done = self._ahead[key], 0
        if key not in self._open:  # it begins to go: what came late since it last went is looked for, too
            self._open.add(key)
            ahead = replace(ahead, from_us=max(ahead.from_us - LATE_US, ahead.begun_us))
        at_us, stop_us = max(ahead.from_us, info.oldest_us), self._written_us(ahead)
        while at_us < stop_us and self._options.monotonic_s() < until_s:
            slice_us = min(at_us + SLICE_US, stop_us)
            heads = await self._unselected(cls, stream, at_us, slice_us)
            for some in _portions(heads):
                done += await self._label(cls, stream, some, policy)
            at_us = slice_us if slice_us <= info.latest_us else stop_us
        self._ahead[key] = replace(ahead, from_us=max(ahead.from_us, min(at_us, stop_us)))
        return done

    def _written_us(self, ahead: Ahead) -> int:
        """Return up to where everything is in the store, and of this stream waits."""
        now_us, unsent_us = self._options.now_us(), self._options.backlog()
        written_us = (now_us if unsent_us is None else min(now_us, unsent_us)) - SETTLE_US
        return written_us if ahead.until_us is None else min(written_us, ahead.until_us)

    async def _unselected(self, cls: str, stream: str, start_us: int, stop_us: int) -> list[Head]:
        try:
            query = self._store().query(cls, (stream,), start_us=start_us, stop_us=stop_us, when=UNSELECTED, head=True)
            return [head async for head in query if head.entry == stream]
        except NotFound:
            return []

    async def _label(self, cls: str, stream: str, heads: Sequence[Head], policy: Policy) -> int:
        keep = "edge" if policy.rule_for(stream).to == "edge" else "1"
        minutes = {minute_of(head.time_us): head.time_us for head in heads}.values()
        for time_us in minutes:  # before: whatever ends this process right after the patch, it is known
            self._options.touched(cls, stream, time_us)
        times = [head.time_us for head in heads]
        report = await self._store().relabel(cls, {stream: times}, {"keep": keep, "policy": policy.hash})
        for time_us in minutes:  # and after: somebody may have looked in between
            self._options.touched(cls, stream, time_us)
        refused = {refusal.time_us for refusal in report.refused}
        self._options.spent(sum(head.size for head in heads if head.time_us not in refused))
        return len(heads) - len(refused)

    def _load(self) -> dict[tuple[str, str], Ahead]:
        try:
            raw: list[list[Any]] = json.loads(self._path.read_text(encoding="utf-8"))
            return {
                (str(cls), str(stream)): Ahead(int(a), None if b is None else int(b), int(c))
                for cls, stream, a, b, c in raw
            }
        except (OSError, ValueError, TypeError):
            return {}

    def _save(self) -> None:
        """Write it down; with a full disk it is looked through once more after a restart."""
        rows = [
            [cls, stream, ahead.from_us, ahead.until_us, ahead.begun_us] for (cls, stream), ahead in self._ahead.items()
        ]
        with suppress(OSError):
            write_whole(self._path, json.dumps(rows))


def _waits(policy: Policy) -> bool:
    return any(rule.at is not None for rule in policy.stream.values())


def _portions(heads: Sequence[Head]) -> Iterator[Sequence[Head]]:
    return (heads[at : at + AT_ONCE] for at in range(0, len(heads), AT_ONCE))
