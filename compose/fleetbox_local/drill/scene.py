"""A scratch fleet that can be broken: one robot, an edge, a cloud, real stores, real processes, a link between."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from fleetbox.background import BackgroundLoop
from fleetbox.blobs import Store
from fleetbox.errors import FleetboxError
from fleetbox.settings import FleetSettings, Place, load_fleet
from fleetbox_local.child import Child, Command
from fleetbox_local.drill import writer
from fleetbox_local.drill.disks import small_disk
from fleetbox_local.drill.setting import CHUNK, PLAIN, ROBOT, Setting
from fleetbox_local.fleet import MAIN, LocalFleet
from fleetbox_local.links import Link
from fleetbox_local.ports import HOST
from fleetbox_local.processes import StoreProcess, ask
from fleetbox_local.settling import wait_for_tasks
from fleetbox_local.spoiler import Spoiler

READY_S = 90.0  # Python with numpy and pyarrow, three times, on cores shared with whoever else is there
STEP_S = 120.0  # for a writer to promise a few hundred numbers: seconds, unless the machine stands still
POLL_S = 0.05
GRACE_S = 20.0  # for a process of a drill to end by itself
T = TypeVar("T")


class Scene:
    """Run a scratch fleet in a folder; a context manager that leaves no process and no mount behind.

    Everything the robot sends passes `link` and, where the setting asks for one, `proxy`. The writer, the agent and
    the sites are processes of their own, so that each can be killed. Its methods are called from one thread.
    """

    def __init__(self, directory: Path, setting: Setting = PLAIN) -> None:
        self.directory = directory.absolute()
        self.setting = setting
        self.local = LocalFleet(self.directory, [ROBOT], setting.influx, nodes=False, store_env=setting.store_env())
        self.nodes: dict[str, Child] = {}
        self.writer = Writer(self.directory, setting)
        self.proxy: Spoiler | None = None
        self.expected: dict[str, int] = {}  # streams beside the writer's own: how many records each must have
        self.beside: list[str] = []  # buckets at the edge that others than fleetbox ship to: faults meet them too
        self._held = ExitStack()
        self._loop: BackgroundLoop | None = None

    def __enter__(self) -> Scene:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End everything that was started and free what was mounted."""
        for child in (self.writer.child, *reversed(self.nodes.values())):
            if child is not None:
                child.kill()
        self.local.kill()
        self.local.stop(GRACE_S)
        self._held.close()

    # -- where things are ----------------------------------------------------------------------------------------

    @property
    def fleet(self) -> FleetSettings:
        """Return the settings as an operator's laptop has them."""
        return load_fleet(self.local.fleet_file)

    @property
    def robot(self) -> StoreProcess:
        """Return the robot's own store."""
        return self.local.stores[ROBOT]

    @property
    def edge(self) -> StoreProcess:
        """Return the edge's store."""
        return self.local.stores["edge"]

    @property
    def secrets(self) -> Path:
        """Return the folder of token files."""
        return self.directory / "secrets"

    @property
    def places(self) -> list[Place]:
        """Return robot, edge and cloud, with tokens that may do everything."""
        return list(self.fleet.route(ROBOT))

    def place(self, tier: str) -> Place:
        """Return one place by its tier."""
        return next(place for place in self.places if place.tier == tier)

    def store(self, tier: str) -> Store:
        """Return a tier's store, to be opened with `async with`."""
        return Store.at(self.place(tier))

    def run(self, work: Coroutine[Any, Any, T], timeout_s: float | None = None) -> T:
        """Run asynchronous work to its end."""
        assert self._loop is not None, "use the scene in a `with` block"
        return self._loop.run(work, timeout_s)

    def start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Start asynchronous work and return at once."""
        assert self._loop is not None, "use the scene in a `with` block"
        return self._loop.start(work)

    # -- processes -----------------------------------------------------------------------------------------------

    def start_node(self, name: str) -> None:
        """Start the agent or a site, as at first or after a kill, and wait until it serves."""
        node = self.nodes[name]
        node.start()
        seating = self.local.seating
        assert seating is not None
        port = {"agent": seating.robots[0].relay_port, "edge": seating.edge.relay_port}.get(name)
        if port is not None:
            node.wait_ready(lambda: ask(port, "GET", "/relay/status").status == 200, READY_S)

    def restart_store(self, tier: str) -> None:
        """Start a store that was killed or stopped and wait until it serves."""
        store = self.local.stores[ROBOT if tier == "robot" else tier]
        store.start()
        store.wait_ready(READY_S)

    def _start(self) -> None:
        self._loop = BackgroundLoop("fleetbox-drill")
        self._held.callback(self._loop.stop)
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "policy.toml").write_text(self.setting.policy, encoding="utf-8")
        for name, size in ((ROBOT, self.setting.robot_disk_bytes), ("edge", self.setting.edge_disk_bytes)):
            if size:
                self._held.enter_context(small_disk(self.directory / name / "data", size))
        self.local.start()
        self.link = self._held.enter_context(self._way_to_edge())
        config = self.directory / ROBOT / "robot.toml"
        config.write_text(_changed(config.read_text(encoding="utf-8"), self.link.url, self.setting.ring))
        sites = ("site", "run", "--fleet", str(self.local.fleet_file), "--site")
        self._start_nodes({"edge": (*sites, "edge"), "cloud": (*sites, "cloud")})
        self.run(wait_for_tasks(self.fleet, READY_S, sites_only=True))  # what comes earlier is passed on late
        self._start_nodes({"agent": ("agent", "run", "--config", str(config))})
        self.run(wait_for_tasks(self.fleet, READY_S))

    def _start_nodes(self, verbs: Mapping[str, tuple[str, ...]]) -> None:
        for name, verb in verbs.items():
            self.nodes[name] = Child(Command(name, (sys.executable, "-c", MAIN, *verb), self.directory / f"{name}.log"))
            self.nodes[name].start()
        for name in verbs:
            self.start_node(name)

    def _way_to_edge(self) -> Link:
        port = self.edge.port
        if self.setting.proxy:
            self.proxy = self._held.enter_context(Spoiler(self.edge.url))
            port = self.proxy.port
        return Link(HOST, port)


class Writer:
    """The robot program of a drill and what it has promised so far."""

    def __init__(self, directory: Path, setting: Setting) -> None:
        self._flush_s = setting.flush_s
        self.config = directory / ROBOT / "robot.toml"
        self.progress = directory / "progress"
        given = (str(self.config), str(self.progress), str(setting.rate_hz), str(setting.flush_s))
        self.command = Command("writer", (sys.executable, "-m", writer.__name__, *given), directory / "writer.log")
        self.child: Child | None = None
        self.kills = 0  # each may repeat one number: written, not yet promised

    def start(self) -> None:
        """Start it, or start it again where it was."""
        self.child = Child(self.command)
        self.child.start()

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self.child is not None and self.child.alive:
            self.child.kill()
            self.kills += 1

    def signal(self, what: signal.Signals) -> None:
        """Send it a signal and wait until it has taken it: the next number is promised after it."""
        if self.child is None or self.child.pid is None:
            raise FleetboxError("the writer was not started", "start it first")
        os.kill(self.child.pid, what)
        self.wait_for(2)

    def finish(self) -> None:
        """Stop it and have it flush; raise FleetboxError when it cannot."""
        if self.child is None:
            return
        self.child.terminate()
        if not self.child.wait(self._flush_s + STEP_S):
            raise self.child.failure(f"did not flush within {self._flush_s:.0f} s")
        if self.child.exit_code:
            raise self.child.failure(f"ended with code {self.child.exit_code}")

    def promised(self) -> int:
        """Return how many numbers `log()` has returned for."""
        return int(self.progress.read_bytes() or b"0") if self.progress.exists() else 0

    def wait_for(self, more: int) -> None:
        """Wait until so many more numbers are promised."""
        goal, deadline = self.promised() + more, time.monotonic() + STEP_S
        while self.promised() < goal:
            if self.child is None or not self.child.alive:
                raise self.child.failure("ended early") if self.child else FleetboxError("the writer was not started")
            if time.monotonic() > deadline:
                raise self.child.failure(f"stands still at {self.promised()}")
            time.sleep(POLL_S)


async def until(done: Any, what: str, timeout_s: float = STEP_S) -> None:
    """Poll an asynchronous test until it is true; raise FleetboxError naming what was awaited at the deadline."""
    deadline = time.monotonic() + timeout_s
    while not await done():
        if time.monotonic() > deadline:
            raise FleetboxError(f"{what}: not within {timeout_s:.0f} s", "read the logs in the drill's folder")
        await asyncio.sleep(POLL_S)


def _changed(config: str, site_url: str, ring: str) -> str:
    """Return a robot.toml whose site is behind the link, with the drill's ring and chunk length.

    The agent measures nothing of itself: at the end nothing more may be written, so that places can be compared.
    """
    config = re.sub(r"(?m)^site  .*$", f'site        = "{site_url}"', config)
    config = re.sub(r"(?m)^ring .*$", f"ring        = {{ {ring} }}", config)
    return f'{config}chunk       = "{CHUNK}"\nagent       = {{ health = "off" }}\n'
