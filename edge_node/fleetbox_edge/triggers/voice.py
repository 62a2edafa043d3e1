"""Decide whether a rule whose condition holds may raise an event now: cooldown, an hour's share, hours, mutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from fleetbox.settings.policy import TriggerRule

HOUR_US = 3_600_000_000

MinuteOfDay = Callable[[int], int]  # µs since the epoch -> 0 to 1439, by the robot's own local time


@dataclass(frozen=True, slots=True)
class Counts:
    """Tell what became of one rule's records since the agent began."""

    judged: int = 0
    fired: int = 0
    errors: int = 0  # records on which the expression raised
    last_error: str = ""
    muted: int = 0  # moments that raised nothing: beyond the hour's share, outside its hours, or muted as a whole
    why_muted: str = ""
    muted_until_us: int = 0  # end of the hour whose share is used up
    unjudged: int = 0  # records that could not be looked at in time
    waited: int = 0  # records that came before the expression had all it names
    last_us: int = 0  # the moment of the newest event


class Voice:
    """Hold what one rule has said, over all the streams it judges."""

    __slots__ = (
        "errors", "fired", "hour_fired", "hour_us", "judged", "last_error", "last_us", "muted", "muted_until_us",
        "rule", "unjudged", "waited", "why_muted",
    )  # fmt: skip

    def __init__(self, rule: TriggerRule) -> None:
        self.rule = rule
        self.judged = self.fired = self.errors = self.muted = self.unjudged = self.waited = 0
        self.last_error = self.why_muted = ""
        self.last_us: int | None = None
        self.hour_us: int | None = None  # when the hour began whose events are counted
        self.hour_fired = 0
        self.muted_until_us = 0

    def cools(self, time_us: int) -> bool:
        """Tell whether a moment belongs to the last event: as close to it as the cooldown, before or after.

        Before: a clock that was set back must not silence a rule until it has caught up.
        """
        return self.last_us is not None and abs(time_us - self.last_us) < self.rule.cooldown

    def speaks(self, time_us: int, minute_of_day: MinuteOfDay, mute: str | None) -> bool:
        """Take a moment that is not cooling; tell whether an event is raised, and count it either way."""
        self.last_us = time_us
        if why := self._hindered(time_us, minute_of_day, mute):
            self.muted += 1
            self.why_muted = why
            return False
        self._count(time_us)
        self.fired += 1
        self.hour_fired += 1
        return True

    def _hindered(self, time_us: int, minute_of_day: MinuteOfDay, mute: str | None) -> str:
        hours = self.rule.between
        if hours is not None and not hours.hold(minute_of_day(time_us)):
            return "outside its hours"
        if mute is not None:
            return mute
        self._count(time_us)
        if self.hour_fired >= self.rule.per_hour:
            assert self.hour_us is not None
            self.muted_until_us = self.hour_us + HOUR_US
            return f"{self.rule.per_hour} events within an hour, its per_hour"
        return ""

    def _count(self, time_us: int) -> None:
        if self.hour_us is None or not 0 <= time_us - self.hour_us < HOUR_US:
            self.hour_us, self.hour_fired = time_us, 0

    def told(self) -> tuple[int | None, int | None, int]:
        """Return what a restart must not forget: the last event, the hour that is counted, and its events."""
        return self.last_us, self.hour_us, self.hour_fired

    def tell(self, told: tuple[int | None, int | None, int]) -> None:
        """Take what `told` returned before a restart."""
        self.last_us, self.hour_us, self.hour_fired = told

    def seed(self, time_us: int) -> None:
        """Take an event the rule raised before a restart; give them in order of time."""
        if self.last_us is None or time_us > self.last_us:
            self.last_us = time_us
        self._count(time_us)
        self.hour_fired += 1

    def raised(self, error: BaseException) -> None:
        """Count a record on which the expression raised."""
        self.errors += 1
        self.last_error = str(error).partition("\n")[0][:300] or type(error).__name__

    def counts(self) -> Counts:
        """Return what was counted so far."""
        counts = Counts(self.judged, self.fired, self.errors, self.last_error, self.muted, self.why_muted)
        return replace(
            counts, muted_until_us=self.muted_until_us, unjudged=self.unjudged, waited=self.waited,
            last_us=self.last_us or 0,
        )  # fmt: skip


def local_minute(time_us: int) -> int:
    """Return the minute of the day of this machine's local time."""
    there = datetime.fromtimestamp(time_us / 1e6)
    return there.hour * 60 + there.minute
