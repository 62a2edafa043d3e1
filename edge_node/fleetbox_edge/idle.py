"""Tell whether the robot has time: what the policy calls idle holds, and its machine is not busy with other work."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import psutil

from fleetbox.settings import Policy
from fleetbox.settings.policy import Idle

LOOK_S = 0.5  # idle work ends within a second of the robot's getting busy: a look, the maker's own, a picture
SMOOTH = 0.5  # of a new look: one jump of the load is no work


class Follows(Protocol):
    """Follow an expression over one stream; see `triggers.Condition`."""

    def holds(self, now_us: int) -> bool:
        """Tell whether it holds and has held long enough."""


@dataclass(frozen=True, slots=True)
class Load:
    """Hold shares of the whole machine, 0 to 1: what it does, and what of that is this very process."""

    machine: float
    own: float

    @property
    def others(self) -> float:
        """Return what other programs do: idle work must not take itself for the robot's."""
        return max(0.0, self.machine - self.own)


class Meter:
    """Measure the load since the last look."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._cores = psutil.cpu_count() or 1
        self.read()

    def read(self) -> Load:
        """Return the load since the last call."""
        machine = psutil.cpu_percent(None) / 100
        return Load(machine, self._process.cpu_percent(None) / 100 / self._cores)


class Quiet:
    """Tell from loads whether the machine is quiet: below the policy's share, as a smoothed value."""

    def __init__(self) -> None:
        self._others = 1.0  # busy until it was seen otherwise

    def see(self, load: Load) -> None:
        """Take a look; a load that rises counts at once, one that falls step by step."""
        self._others = max(load.others, self._others + SMOOTH * (load.others - self._others))

    def below(self, share: float) -> bool:
        """Tell whether others take less than a share of the machine."""
        return self._others < share


class Idleness:
    """Follow the policy's `[idle]`. `watch` makes what follows an expression, `unwatch` lets go of it.

    Without an expression a quiet machine that has been quiet for `hold` is idle.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        watch: Callable[[Idle], Follows | None] = lambda idle: None,
        unwatch: Callable[[Follows], None] = lambda follows: None,
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
    ) -> None:
        self._policy, self._watch, self._unwatch, self._clock_us = policy, watch, unwatch, clock_us
        self._followed: Idle | None = None
        self._follows: Follows | None = None
        self._quiet = Quiet()
        self._quiet_since_us: int | None = None
        self.idle = False

    async def run(self, meter: Callable[[], Load] | None = None) -> None:
        """Look until cancelled; who is not looked after is not idle."""
        read = meter or Meter().read
        try:
            while True:
                self.look(read())
                await asyncio.sleep(LOOK_S)
        finally:
            self.idle = False
            self._let_go()

    def look(self, load: Load) -> bool:
        """Take a look at the load; return whether the robot is idle."""
        idle, now_us = self._policy().idle, self._clock_us()
        if idle != self._followed:
            self._let_go()
            self._followed, self._follows = idle, self._watch(idle) if idle.on and idle.when else None
        self._quiet.see(load)
        if not self._quiet.below(idle.cpu):
            self._quiet_since_us = None
        elif self._quiet_since_us is None:
            self._quiet_since_us = now_us
        quiet = self._quiet_since_us is not None
        if idle.on and idle.when:
            self.idle = quiet and self._follows is not None and self._follows.holds(now_us)
        else:
            self.idle = quiet and now_us - (self._quiet_since_us or 0) >= idle.hold
        return self.idle

    def _let_go(self) -> None:
        if self._follows is not None:
            self._unwatch(self._follows)
        self._followed = self._follows = None
