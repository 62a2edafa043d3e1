"""Keep a site's loader going: tasks for every bucket, a sweep whenever chunks may have been missed."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, InputError
from fleetbox.scalars import ScalarStore
from fleetbox.settings import Influx
from fleetbox_cloud.cursor import Cursor
from fleetbox_cloud.loader import Loader
from fleetbox_cloud.sink import Sink

log = structlog.get_logger()

UPTIME_STEP_S = 1.2  # uptime comes in whole seconds; what starts sooner after a start is noticed with its next chunk
RESERVED_SITE = "influx"  # a hop to a site of this name would have the loader's task names


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Say how often the loader looks; seconds."""

    look_s: float = 10.0  # a new robot's numbers show up within this
    sweep_s: float = 86_400.0  # a listing costs the store 30 us a chunk; nothing known makes this one needed


class Loading:
    """Run the loader of one site; `sink` is where the engine delivers.

    `connect` opens the site's store, anew at every start: its token may have been replaced meanwhile.
    """

    def __init__(self, connect: Callable[[], Store], influx: Influx, site: str, state: Path, secret: str) -> None:
        if site == RESERVED_SITE:
            raise InputError(f"a site with an InfluxDB cannot be called {site!r}", "name it otherwise in fleet.toml")
        self._connect, self._influx, self._site, self._secret = connect, influx, site, secret
        self._path = state / f"loader-{_mark(influx)}.sqlite"  # another InfluxDB begins from the first chunk
        self._gaps: set[str] = set()
        self._wake = asyncio.Event()
        self._counts: dict[str, dict[str, int]] = {}
        self._swept = 0
        self._renew = False
        self._restarted = False
        self.sink = Sink(secret, self)

    async def run(self, url: str, rhythm: Rhythm | None = None) -> None:
        """Load until cancelled; `url` is how the engine reaches the sink.

        Raises Unreachable and AccessDenied; the engine keeps everything meanwhile.
        """
        rhythm = rhythm or Rhythm()
        cursor = Cursor(self._path)
        try:
            async with self._connect() as store, ScalarStore(self._influx) as scalars:
                await self._ready(scalars)
                self.sink.loader, self.sink.trouble = Loader(store, scalars, cursor, self._site), None
                await self._keep(self.sink.loader, store, url, rhythm)
        except BaseException as error:
            self.sink.trouble = str(error)
            raise
        finally:
            self.sink.loader = None
            cursor.close()

    def report(self) -> dict[str, Any]:
        """Return what was loaded and refused per robot, by reason, and what stands in the way now."""
        if self.sink.loader is not None:
            self._counts = {robot: dict(counts) for robot, counts in self.sink.loader.counts().items()}
        return {
            "influx": self._influx.url,
            "bucket": self._influx.bucket,
            "running": self.sink.loader is not None,
            "trouble": self.sink.trouble,
            "found_by_sweep": self._swept,
            "robots": self._counts,
        }

    async def _ready(self, scalars: ScalarStore) -> None:
        try:
            await scalars.ensure_bucket()
        except AccessDenied as error:
            # A token that may only write is a fair choice: then somebody else has made the bucket, and writes tell.
            log.info("the bucket is left as it is", why=error.message)

    async def _keep(self, loader: Loader, store: Store, url: str, rhythm: Rhythm) -> None:
        loop = asyncio.get_running_loop()
        started_s, due_s = loop.time(), loop.time()
        while True:
            renew, self._renew = self._renew, False
            fresh = set(await loader.ensure_tasks(url, self._secret, renew=renew)) | self._gaps
            self._gaps.clear()
            before_s, started_s = started_s, loop.time() - (await store.info()).uptime_s
            anew, self._restarted = self._restarted or started_s - before_s > UPTIME_STEP_S, False
            if anew or loop.time() >= due_s:
                # A store killed at the wrong moment has taken records that it never told its tasks of.
                fresh = set(await loader.buckets())
                due_s = loop.time() + rhythm.sweep_s
            for bucket in sorted(fresh):
                self._swept += await loader.sweep(bucket)
            await self._wait(rhythm.look_s)

    async def _wait(self, wait_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):  # not wait_for: before 3.12 that can swallow being cancelled
                await self._wake.wait()
        self._wake.clear()

    def gap(self, bucket: str) -> None:
        """Sweep a bucket soon: a batch of it could not be read."""
        self._gaps.add(bucket)
        self._wake.set()

    def stranger(self) -> None:
        """Write the tasks anew at the next look: one of them holds another secret."""
        self._renew = True

    def restarted(self) -> None:
        """Sweep everything soon: the store was started anew."""
        self._restarted = True
        self._wake.set()


def _mark(influx: Influx) -> str:
    return hashlib.sha256(f"{influx.url}\n{influx.org}\n{influx.bucket}".encode()).hexdigest()[:8]
