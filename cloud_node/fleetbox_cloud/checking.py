"""Check at a calm rhythm that InfluxDB holds what it was given, and that every chunk the ledger tells of is loaded."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from fleetbox.clock import Clock
from fleetbox.errors import FleetboxError, Unreachable
from fleetbox.time import FOR_EVER_US
from fleetbox_cloud.comparing import Comparer, Findings
from fleetbox_cloud.counting import booked
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sweeping import Sweep
from fleetbox_cloud.unloaded import Unloaded

log = structlog.get_logger()

HOUR_US = 3_600_000_000
RETRY_S = 30.0  # after a check that could not be done; InfluxDB being started anew is noticed before
EVER_US = 0  # stamps count from 1970


@dataclass(frozen=True, slots=True)
class CheckRhythm:
    """Say how often to check; seconds."""

    look_s: float = 10.0  # InfluxDB started anew, perhaps from a backup, is noticed within this
    ledger_s: float = 60.0  # the ledger's own pages come once a minute
    hour_s: float = 300.0  # an hour of a 12-field 100 Hz stream costs InfluxDB 0.25 s: 0.1 % of a core each
    everything_s: float = 86_400.0  # what someone deleted by hand is back within a day
    again_s: float = 300.0  # an InfluxDB that is started again and again is not asked for everything without end


class Checking:
    """Run the checks of one loader beside it; what goes wrong here stops no chunk from being loaded.

    `recovered` is told for how many seconds InfluxDB was away, once it answers again: the engine may take minutes more
    to bring a chunk, and brings none when its log ran over.
    """

    def __init__(
        self,
        loader: Loader,
        sweep: Sweep,
        rhythm: CheckRhythm,
        clock: Clock | None = None,
        recovered: Callable[[float], None] = lambda lasted_s: None,
    ) -> None:
        self._loader, self._rhythm, self._recovered = loader, rhythm, recovered
        self._away_s: float | None = None  # since when InfluxDB has not answered
        self._now_us = (clock or Clock()).now_us
        self._comparer, self._unloaded = Comparer(loader), Unloaded(loader, sweep)
        self._due_s = {"ledger": 0.0, "hour": 0.0, "everything": 0.0}
        self._began_s = -math.inf  # of the last comparison of everything
        self._started: str | None = None
        self._wake = asyncio.Event()
        self._done: dict[str, dict[str, Any]] = {}
        self._counted: list[dict[str, Any]] = []
        self._error: Exception | None = None

    def everything_soon(self) -> None:
        """Compare everything, at once or `again_s` after the last time: nobody knows what the trouble took."""
        self._due_s["everything"] = min(self._due_s["everything"], self._began_s + self._rhythm.again_s)
        self._wake.set()

    def everything_now(self) -> None:
        """Compare everything at the next look: InfluxDB is known to have lost it."""
        self._due_s["everything"] = 0.0
        self._wake.set()

    async def run(self) -> None:
        """Check until cancelled."""
        while True:
            try:
                await self._look()
                self._error = None
            except Exception as error:  # loading goes on, and so do the checks: the next look tries again
                self._error = error
                self._note_away(error)
                if not isinstance(error, FleetboxError):
                    log.exception("a check of InfluxDB failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rhythm.look_s):
                    await self._wake.wait()
            self._wake.clear()

    @property
    def trouble(self) -> str | None:
        """Return why checks cannot be done now."""
        if self._error is None or isinstance(self._error, FleetboxError):
            return str(self._error) if self._error else None
        return f"{type(self._error).__name__}: {self._error}"

    def report(self) -> dict[str, Any]:
        """Return when each check was last done and what it found, the last hour's counts, and what is in the way."""
        return {
            "trouble": self.trouble,
            "away": isinstance(self._error, Unreachable),
            "done": self._done,
            "last_hour": self._counted,
        }

    def _note_away(self, error: Exception) -> None:
        if isinstance(error, Unreachable) and self._away_s is None:
            self._away_s = asyncio.get_running_loop().time()

    def _note_back(self) -> None:
        if self._away_s is not None:
            lasted_s, self._away_s = asyncio.get_running_loop().time() - self._away_s, None
            self._recovered(lasted_s)

    async def _look(self) -> None:
        started = await self._loader.scalars.started()
        if started is not None:
            self._note_back()
        if started != self._started:
            self._started = started
            self.everything_soon()
        await self._at("ledger", self._rhythm.ledger_s, self._ledger)
        await self._at("everything", self._rhythm.everything_s, self._everything)
        await self._at("hour", self._rhythm.hour_s, self._hour)

    async def _at(self, name: str, every_s: float, check: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        now_s = asyncio.get_running_loop().time
        if now_s() < self._due_s[name]:
            return
        self._due_s[name] = now_s() + every_s  # before the check: whoever asks for it meanwhile gets another one
        try:
            self._done[name] = {"at_us": self._now_us(), **await check()}
        except BaseException:
            self._due_s[name] = now_s() + min(every_s, RETRY_S)
            raise

    async def _everything(self) -> dict[str, Any]:
        self._began_s = asyncio.get_running_loop().time()
        return await self._compare(EVER_US, again=True)

    async def _hour(self) -> dict[str, Any]:
        now_us = self._now_us()
        found = await self._compare(now_us - HOUR_US, again=False)
        self._counted = [row.as_dict() for row in booked(self._loader.cursor, now_us - HOUR_US, FOR_EVER_US)]
        return found

    async def _ledger(self) -> dict[str, Any]:
        return {"loaded": await self._unloaded.look()}

    async def _compare(self, since_us: int, *, again: bool) -> dict[str, Any]:
        findings: Findings = await self._comparer.compare(since_us, self._now_us(), again=again)
        if findings.repaired or findings.short:
            log.warning("InfluxDB had lost points", repaired=findings.repaired, still_short=findings.short)
        return asdict(findings)
