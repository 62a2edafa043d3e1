"""Compare what streams delivered in a minute with what the policy expects of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fleetbox.chunks import BOUND_US
from fleetbox.ledger import MINUTE_US
from fleetbox.naming import RING_CLASSES, SMALL, Class, class_of, parent_of
from fleetbox.settings import Expect, Policy, StreamRule
from fleetbox.settings.policy import small_of

SPARE = 0.02  # of the expected rows: a quartz and a driver are that far off their nominal rate, and nobody lost a thing
PAUSE_US = 90_000_000  # µs without any record of any stream: the robot was off, and what follows is a new stretch

Stream = tuple[Class, str]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold a time in which a robot recorded without a pause, in µs.

    A minute counts when something was recorded before it began and after it ended and there was no pause between: a
    minute in which the robot was off, came up or went down expects nothing.
    """

    since_us: int
    until_us: int

    def holds(self, minute_us: int) -> bool:
        """Tell whether a minute lies in it whole."""
        return self.since_us <= minute_us and minute_us + MINUTE_US <= self.until_us


@dataclass(frozen=True, slots=True)
class Delivered:
    """Say what a stream delivered in a minute: its rows, the time of its first record and where its rows end, in µs.

    `before_us` is where the rows of the minute before ended, 0 when that is not known.
    """

    rows: int = 0
    first_us: int = 0
    covered_us: int = 0
    before_us: int = 0


def went_on(old: Stretch | None, newest_us: int) -> Stretch:
    """Return the stretch after one more look at a robot's newest record."""
    if old is None or not 0 <= newest_us - old.until_us <= PAUSE_US:
        return Stretch(newest_us, newest_us)
    return replace(old, until_us=newest_us)


def missing_rows(expect: Expect, minute_us: int, delivered: Delivered) -> int:
    """Return how many rows of a full minute are not there; 0 within the spare, or when it is silent by right.

    A chunk counts in the minute of its first row: the minute goes from where the rows of the last one ended to where
    its own end.
    """
    stop_us = max(minute_us + MINUTE_US, delivered.covered_us)
    start_us = max(minute_us, delivered.before_us)
    if not delivered.before_us and delivered.rows and delivered.first_us - minute_us <= BOUND_US:
        start_us = delivered.first_us
    wanted = expect.hz * (stop_us - start_us) / 1e6
    return max(0, round(wanted) - delivered.rows) if delivered.rows < wanted * (1 - SPARE) - 1 else 0


def expected_streams(policy: Policy, present: Iterable[Stream]) -> dict[Stream, Expect]:
    """Return what is expected of a robot's streams: of those that are there, and of those that have to be.

    A stream that never was has no class yet: it is put among pictures if it has a preview, else among sensors.
    """
    found: dict[Stream, Expect] = {}
    for cls, stream in present:
        rule, made = _rule_of(policy, stream)
        kind, expect = recorded(rule, pictures=cls in ("media", "small"))
        if cls in RING_CLASSES and expect is not None and kind == made and rule.ring is None:  # nobody counts memory
            found[cls, stream] = expect
    names = {stream for _, stream in found}
    for stream in policy.expected_by_name():
        rule = policy.stream[stream]
        kind, expect = recorded(rule, pictures=True)
        name = f"{stream}/{kind}" if kind else stream
        if name not in names and expect is not None:
            found[class_of(name, "media" if rule.preview else "sensor"), name] = expect
    return found


def recorded(rule: StreamRule, *, pictures: bool) -> tuple[str, Expect | None]:
    """Return which small frames are recorded instead of the original, "" for none, and what to expect of what is."""
    small = small_of(rule, rule.keep) if pictures and rule.keep in SMALL else None
    every_us = small.every if small else rule.every
    if rule.expect is None or not every_us or not rule.expect.hz:
        return (rule.keep if small else ""), rule.expect
    # The first one after `every` is taken: late by one period at most.
    return (rule.keep if small else ""), Expect(1e6 / (every_us + 1e6 / rule.expect.hz))


def _rule_of(policy: Policy, stream: str) -> tuple[StreamRule, str]:
    """Return the rule that a stream was recorded by, and what it was made into: "preview", "thumbnail" or ""."""
    parent, kind = parent_of(stream)
    rule = policy.rule_for(parent)
    if kind in SMALL and small_of(rule, kind) is None:
        return policy.rule_for(stream), ""  # somebody's own stream that happens to be called so
    return rule, kind


def absent_rows(expect: Expect) -> int:
    """Return what a minute misses of a stream that does not exist: its rows, or one if it may be silent."""
    return max(1, round(expect.hz * MINUTE_US / 1e6))


def share_delivered(rows: int, missing: int) -> float:
    """Return the share of the expected rows that came."""
    return rows / (rows + missing) if rows + missing else 1.0


def newest_of(latest_us: Mapping[Stream, int], now_us: int) -> int:
    """Return the time of a robot's newest record in µs, leaving out what a wrong clock has put into the future."""
    return max((at for at in latest_us.values() if at <= now_us + MINUTE_US), default=0)
