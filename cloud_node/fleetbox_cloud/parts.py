"""Run the parts of a site beside each other, and start again what fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import structlog

from fleetbox.errors import FleetboxError

log = structlog.get_logger()

FIRST_WAIT_S = 1.0  # a store that is just starting is up by then
LONGEST_WAIT_S = 30.0  # a person who has repaired something does not wait longer than this
CALM_S = 60.0  # a part that ran this long has recovered: its next failure starts from the first wait

Run = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class PartState:
    """Say how a part is doing; `why` is what it waits after, None while it runs; `failures` are all so far."""

    state: Literal["running", "waiting", "done"] = "running"
    failures: int = 0
    why: str | None = None


class Parts:
    """Keep parts running until cancelled. A part that returns is done; one that raises is started again."""

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._states: dict[str, PartState] = {}

    async def run(self, parts: Mapping[str, Run]) -> None:
        """Run all parts; returns when all are done."""
        async with asyncio.TaskGroup() as group:
            for name, run in parts.items():
                group.create_task(self.keep(name, run), name=name)

    async def keep(self, name: str, run: Run) -> None:
        """Run one part until it is done, waiting twice as long after every failure."""
        state = self._states.setdefault(name, PartState())
        loop, wait_s = asyncio.get_running_loop(), FIRST_WAIT_S
        while True:
            began_s = loop.time()
            try:
                state.state, state.why = "running", None
                await run()
            except Exception as error:  # a fault in one part must not end the others
                if loop.time() - began_s > CALM_S:
                    wait_s = FIRST_WAIT_S
                state.state, state.failures, state.why = "waiting", state.failures + 1, _why(error)
                log.warning("part failed", part=name, why=state.why, wait_s=wait_s, exc_info=_unknown(error))
                await self._sleep(wait_s)
                wait_s = min(LONGEST_WAIT_S, wait_s * 2)
            else:
                state.state = "done"
                return

    def report(self) -> dict[str, Any]:
        """Return part -> state, failures, why."""
        return {
            name: {"state": one.state, "failures": one.failures, "why": one.why} for name, one in self._states.items()
        }


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, FleetboxError) else f"{type(error).__name__}: {error}"


def _unknown(error: Exception) -> bool:
    return not isinstance(error, FleetboxError)
