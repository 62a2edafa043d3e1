"""Keep a site's loader going: tasks for every bucket, sweeps whenever chunks may have been missed, checks beside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Unreachable
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.checking import Checking, CheckRhythm
from fleetbox_cloud.counting import ScalarRow, refusals, scalar_rows
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sink import Sink
from fleetbox_cloud.state import mark_of
from fleetbox_cloud.sweeping import Sweep
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.restarts import Restarts
from fleetbox_replication.secret_mark import while_secret

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Say how often the loader looks; seconds."""

    look_s: float = 10.0  # a new robot's numbers show up within this
    sweep_s: float = 86_400.0  # a listing costs the store 30 us a chunk; nothing known makes this one needed
    trouble_s: float = 60.0  # in less, 16,000 chunks a second would not fill the engine's log of a million
    checks: CheckRhythm = field(default_factory=CheckRhythm)


@dataclass(frozen=True, slots=True)
class _Running:
    """Hold what works while both servers are reached."""

    loader: Loader
    sweep: Sweep
    checking: Checking
    rhythm: Rhythm


class Loading:
    """Run the loader of one site; `sink` is where the engine delivers.

    `connect` opens the site's store, anew at every start and with every new token; `token` gives that token as it
    stands: the secret that the engine's tasks show the sink follows from it.
    """

    def __init__(
        self, connect: Callable[[], Store], influx: Influx, site: str, state: Path, token: Callable[[], str]
    ) -> None:
        self._connect, self._influx, self._site, self._token = connect, influx, site, token
        self._path = state / f"loader-{mark_of(influx)}.sqlite"  # another InfluxDB begins from the first chunk
        self._gaps: set[str] = set()
        self._wake = asyncio.Event()
        self._running: _Running | None = None
        self._last: dict[str, Any] = {"robots": {}, "refused": [], "short": [], "checks": None}
        self._swept = 0
        self._renew = False
        self._anew = False
        self.sink = Sink(self)

    async def run(self, url: str, rhythm: Rhythm | None = None) -> None:
        """Load until cancelled; `url` is how the engine reaches the sink.

        Raises Unreachable and AccessDenied; the engine keeps everything meanwhile.
        """
        while True:
            secret, before = relay_secret(self._token()), self.sink.secret
            self._renew |= before not in (None, secret)
            self.sink.secret = secret
            await while_secret(self._token, secret, self._load(url, rhythm or Rhythm(), secret))

    async def _load(self, url: str, rhythm: Rhythm, secret: str) -> None:
        """Load as long as the store's token is what it was."""
        cursor = Cursor(self._path)
        try:
            async with self._connect() as store, ScalarStore(self._influx) as scalars:
                await self._ready(scalars)
                loader = Loader(store, scalars, cursor, self._site, self._influx.raw)
                loader.follow_raw()
                sweep = Sweep(loader)
                checking = Checking(loader, sweep, rhythm.checks, recovered=self.recovered)
                self._running = _Running(loader, sweep, checking, rhythm)
                self.sink.loader, self.sink.trouble = loader, None
                await self._beside(self._running.checking.run(), self._keep(self._running, url, secret))
        except BaseException as error:
            self.sink.trouble = str(error)
            raise
        finally:
            self._note()
            self._swept += self._running.sweep.found if self._running else 0
            self.sink.loader = self._running = None
            cursor.close()

    def report(self) -> dict[str, Any]:
        """Return what was loaded and refused, what InfluxDB has lost, and what stands in the way now."""
        self._note()
        return {
            "influx": self._influx.url,
            "bucket": self._influx.bucket,
            "running": self._running is not None,
            "trouble": self.sink.trouble,
            "found_by_sweep": self._swept + (self._running.sweep.found if self._running else 0),
            **self._last,
        }

    async def scalar_rows(self, start_us: int, stop_us: int, now_us: int) -> list[ScalarRow]:
        """Return per robot and stream what became of a window's rows; see counting.scalar_rows."""
        if self._running is None:
            raise Unreachable(f"the loader of {self._site} does not run: {self.sink.trouble}", "fleetbox site status")
        return await scalar_rows(self._running.loader, start_us, stop_us, now_us)

    def _note(self) -> None:
        """Remember the books, which are closed while the loader waits."""
        if self._running is not None:
            cursor = self._running.loader.cursor
            self._last = {
                "robots": {robot: dict(counts) for robot, counts in cursor.counts().items()},
                "refused": refusals(cursor),
                "short": cursor.short_streams(),
                "checks": self._running.checking.report(),
            }

    async def _ready(self, scalars: ScalarStore) -> None:
        try:
            await scalars.ensure_bucket()
        except AccessDenied as error:
            # A token that may only write is a fair choice: then somebody else has made the bucket, and writes tell.
            log.info("the bucket is left as it is", why=error.message)

    async def _beside(self, other: Coroutine[Any, Any, None], main: Coroutine[Any, Any, None]) -> None:
        """Run one thing until it ends or fails, another beside it."""
        task = asyncio.create_task(other)
        try:
            await main
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep(self, running: _Running, url: str, secret: str) -> None:
        loader, loop = running.loader, asyncio.get_running_loop()
        restarts, due_s = Restarts(), loop.time()
        while True:
            if self.sink.trouble or running.checking.trouble:
                with suppress(FleetboxError):  # the next batch tells what is still in the way
                    await self._ready(loader.scalars)  # somebody may have removed the bucket
            renew, self._renew = self._renew, False
            fresh = set(await loader.ensure_tasks(url, secret, renew=renew)) | self._gaps
            self._gaps.clear()
            restarted = await restarts.look(loader.store)
            anew, self._anew = self._anew or restarted, False
            if anew or loop.time() >= due_s:
                # A store killed at the wrong moment has taken records that it never told its tasks of.
                fresh = set(await loader.buckets())
                due_s = loop.time() + running.rhythm.sweep_s
            for bucket in sorted(fresh):
                await running.sweep.bucket(bucket)
            await self._wait(running.rhythm.look_s)

    async def _wait(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):  # not wait_for: before 3.12 that can swallow being cancelled
                await self._wake.wait()
        self._wake.clear()

    def compare(self) -> None:
        """Compare everything with the chunks at once: InfluxDB has lost all of it, or what is newer than a copy."""
        if self._running is not None:  # else the start of the loader compares
            self._running.checking.everything_now()

    def gap(self, bucket: str) -> None:
        """Sweep a bucket soon: a batch of it could not be read."""
        self._gaps.add(bucket)
        self._wake.set()

    def stranger(self) -> None:
        """Write the tasks anew at the next look: one of them holds another secret."""
        self._renew = True

    def restarted(self) -> None:
        """Sweep everything soon: the store was started anew."""
        self._anew = True
        self._wake.set()

    def recovered(self, lasted_s: float) -> None:
        """Sweep and compare everything soon if the engine's log may have run over meanwhile.

        Told by the sink with the first batch that is loaded again, and by the checks when InfluxDB answers again.
        """
        if self._running is not None and lasted_s >= self._running.rhythm.trouble_s:
            self.restarted()
            self._running.checking.everything_soon()
