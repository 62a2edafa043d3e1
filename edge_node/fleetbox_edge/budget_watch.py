"""Watch what the policy in force costs this robot, and act when it is too much."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

import psutil

from fleetbox.errors import FleetboxError
from fleetbox_edge.budgets import GOES_ON, Costs, Term, judge
from fleetbox_edge.courier.switching import Switch
from fleetbox_edge.spending import Spending

LOOK_S = 5.0  # an always true trigger on a 5 MB/s camera selects 25 MB meanwhile
MINUTE_S = 60.0
CALM_S = 900.0  # muted for its CPU, a policy costs less: it may try again after a quarter of an hour
PRUNE_S = 3_600.0


class CpuMeter:
    """Tell the share of one core that this process used over the last minute; None before a minute is over."""

    def __init__(
        self, used_s: Callable[[], float] | None = None, monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._used_s, self._monotonic_s = used_s or _used_by_us, monotonic_s
        self._samples: deque[tuple[float, float]] = deque()

    def begin(self) -> None:
        """Forget what was: another policy holds."""
        self._samples.clear()

    def share(self) -> float | None:
        """Take a sample and return the mean."""
        now_s = self._monotonic_s()
        self._samples.append((now_s, self._used_s()))
        while len(self._samples) > 1 and self._samples[1][0] <= now_s - MINUTE_S:
            self._samples.popleft()
        (began_s, began_used_s), (_, used_s) = self._samples[0], self._samples[-1]
        return (used_s - began_used_s) / (now_s - began_s) if now_s - began_s >= MINUTE_S else None


def _used_by_us() -> float:
    times = psutil.Process().cpu_times()
    return float(times.user + times.system)


class BudgetWatch:
    """Hold one robot to the budget of its policy: roll it back while on trial, mute its triggers later.

    `mute` is told why triggers may raise nothing, None when they may again. What stays muted over a restart is told
    once.
    """

    def __init__(
        self, switch: Switch, spending: Spending, mute: Callable[[str | None], None], now_us: Callable[[], int],
        cpu: CpuMeter | None = None, monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._switch, self._spending, self._mute, self._now_us = switch, spending, mute, now_us
        self._cpu, self._monotonic_s = cpu or CpuMeter(), monotonic_s
        self._hash, self._since_us = "", now_us()
        self._calm_until_s, self._prune_s = float("-inf"), float("-inf")

    async def run(self) -> None:
        """Watch until cancelled; raises FleetboxError for a full disk."""
        while True:
            try:
                await self.look()
            except OSError as error:
                raise FleetboxError(f"a breach of the budget cannot be noted: {error}", "make room on disk") from error
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Judge once and act; raises OSError when the disk takes nothing."""
        policy, taken = self._switch.live.current, self._switch.live.taken
        if policy.hash != self._hash:
            self._hash, self._since_us = policy.hash, self._now_us() if taken is None else taken.at_us
            self._calm_until_s = float("-inf")
            self._cpu.begin()
        self._spending.flush(now=True)
        if self._monotonic_s() - self._prune_s > PRUNE_S:
            self._prune_s = self._monotonic_s()
            self._spending.prune()
        costs = Costs(self._spending.since(0), self._spending.since(self._since_us), self._cpu.share())
        term = Term(max(0, self._now_us() - self._since_us), can_return=taken is not None and taken.order != "")
        ruling = judge(policy.budget, costs, term)
        if ruling.what == "roll back":
            self._mute(f"{ruling.reason}; {GOES_ON}")  # at once: a full disk may not take the rollback
            await self._switch.roll_back(ruling.reason)
        elif ruling.what == "mute":
            if ruling.by_cpu:
                self._calm_until_s = self._monotonic_s() + CALM_S
            await self._silence(f"{ruling.reason}; {GOES_ON}")
        elif self._monotonic_s() >= self._calm_until_s:
            await self._speak()

    async def _silence(self, reason: str) -> None:
        self._mute(reason)
        if not self._switch.memory.muted:
            await self._switch.note_muted(reason)

    async def _speak(self) -> None:
        if self._switch.memory.muted:
            await self._switch.note_muted("")
        self._mute(None)
