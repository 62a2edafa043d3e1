"""Runs a whole fleet, robots to cloud, as processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from fleetbox.background import BackgroundLoop, ended
from fleetbox.errors import MissingServer
from fleetbox.settings import load_fleet
from fleetbox_cloud.tokens import save_token
from fleetbox_local.child import GRACE_S, Child, Command
from fleetbox_local.fleet_files import write_settings
from fleetbox_local.identity import Process, identify
from fleetbox_local.locks import lock_fleet_dir
from fleetbox_local.ports import HOST, free_port, take_port
from fleetbox_local.processes import InfluxProcess, ServerProcess, StoreProcess, new_token
from fleetbox_local.programs import INFLUXDB, find_server
from fleetbox_local.seating import Ports, Seating, check_robots, seat
from fleetbox_local.settling import wait_for_tasks
from fleetbox_local.site_tokens import provision_sites

NODE_READY_S = 180.0  # Python with numpy and pyarrow starts in 1 s; fifty of them, or a busy machine, need longer
MAIN = "from fleetbox.cli.root import main; main()"  # the `fleetbox` command, by this very Python

Member = ServerProcess | Child


class LocalFleet:
    """Run robots, an edge site and a cloud, each with its real store, agent or site process.

    A context manager: everything it started has ended when the block is left, however it is left.
    `influx`: None = with InfluxDB when one is found. `nodes` = False: the stores alone, provisioned.
    `store_env`: the engine's own settings by place, such as {"edge": {"RS_REPLICATION_TIMEOUT": "1"}}.
    """

    def __init__(
        self,
        directory: Path,
        robots: Sequence[str] = ("r1", "r2"),
        influx: bool | None = None,
        nodes: bool = True,
        store_env: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self.directory = directory.absolute()
        self.robots = check_robots(robots)
        self.stores: dict[str, StoreProcess] = {}
        self.influx: InfluxProcess | None = None
        self.nodes: dict[str, Child] = {}
        self.seating: Seating | None = None
        self._influx_wanted = influx
        self._with_nodes = nodes
        self._store_env = store_env or {}
        self._lock: int | None = None

    @property
    def fleet_file(self) -> Path:
        """Return the fleet.toml that describes it."""
        return self.directory / "fleet.toml"

    @property
    def version(self) -> str:
        """Return the version of its stores; known once started."""
        return next(store.program.version for store in self.stores.values())

    @property
    def members(self) -> dict[str, Member]:
        """Return every process by name, in the order they start."""
        stores = {f"{name} store": store for name, store in self.stores.items()}
        influx = {"influx": self.influx} if self.influx else {}
        return {**stores, **influx, **self.nodes}

    @property
    def processes(self) -> list[Process]:
        """Return the running processes."""
        found = (identify(name, member.pid) for name, member in self.members.items() if member.pid)
        return [process for process in found if process]

    def __enter__(self) -> LocalFleet:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start everything and wait until it is ready; raise FleetboxError, with all of it stopped again, if not."""
        self._lock = lock_fleet_dir(self.directory)
        try:
            self._seat()
            settings = load_fleet(self.fleet_file)  # the policy is the user's: its faults show before anything runs
            self._start_servers()
            with _loop() as loop:
                loop.run(provision_sites(settings, self._secrets))
                if self._with_nodes:
                    self._start_sites()
                    loop.run(wait_for_tasks(settings, NODE_READY_S, self._require_nodes, sites_only=True))
                    self._start_agents()  # last: what comes to a site before its task stands is passed on late
                    loop.run(wait_for_tasks(settings, NODE_READY_S, self._require_nodes))
            self._require_nodes()
        except BaseException:
            self.stop()
            raise

    def stop(self, grace_s: float = GRACE_S) -> list[tuple[str, str]]:
        """End agents, then sites, then stores, each gracefully; return how each ended. Safe to repeat."""
        gone: list[tuple[str, str]] = []
        agents = {name: node for name, node in self.nodes.items() if name.endswith("agent")}
        sites = {name: node for name, node in self.nodes.items() if name not in agents}
        servers = {name: member for name, member in self.members.items() if name not in self.nodes}
        try:
            for group in (agents, sites, servers):  # upstream first: each can still hand on what it holds
                gone += _stop_all(group, grace_s)
        except BaseException:
            self.kill()  # interrupted a second time: now at once
            raise
        finally:
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None
        return gone

    def kill(self) -> None:
        """End everything at once."""
        for member in self.members.values():
            member.kill()

    @property
    def _secrets(self) -> Path:
        return self.directory / "secrets"

    def _seat(self) -> None:
        """Choose ports, the ones of the last start where they are free, and write the settings."""
        remembered = self.directory / "run" / "ports.json"
        before: dict[str, int] = {}
        with contextlib.suppress(FileNotFoundError, ValueError):
            before = json.loads(remembered.read_text())
        self.seating = seat(self.directory, self.robots, self._wants_influx(), Ports(before, take_port, free_port))
        remembered.write_text(json.dumps({**before, **self.seating.ports}, indent=1))
        org = {"org": InfluxProcess.org, "bucket": InfluxProcess.bucket}
        write_settings(self.seating, org)

    def _wants_influx(self) -> bool:
        if self._influx_wanted is None:
            try:
                return find_server("influxdb") is not None
            except MissingServer:
                if os.environ.get(INFLUXDB.variable):
                    raise  # the user named one: never pass it over in silence
                return False
        return self._influx_wanted

    def _start_servers(self) -> None:
        assert self.seating is not None
        program = find_server("reductstore")
        for place in self.seating.seats:
            env = {"RS_INSTANCE_NAME": place.name, **self._store_env.get(place.name, {})}
            data_dir, token = place.directory / "data", self._token(place.name)
            self.stores[place.name] = StoreProcess(data_dir, place.store_port, token, env, program)
        if port := self.seating.influx_port:
            self.influx = InfluxProcess(self.directory / "influx" / "data", port, self._token("influx"))
        servers: list[ServerProcess] = [*self.stores.values(), *([self.influx] if self.influx else [])]
        for server in servers:
            server.start()
        for server in servers:
            server.wait_ready()

    def _start_sites(self) -> None:
        assert self.seating is not None
        for site in (self.seating.edge, self.seating.cloud):
            verb = ("site", "run", "--fleet", str(self.fleet_file), "--site", site.name)
            self._node(f"{site.name} site", site.directory / "site.log", *verb)
        self._wait_relays({f"{self.seating.edge.name} site": self.seating.edge.relay_port})

    def _start_agents(self) -> None:
        assert self.seating is not None
        for robot in self.seating.robots:
            config = str(robot.directory / "robot.toml")
            self._node(f"{robot.name} agent", robot.directory / "agent.log", "agent", "run", "--config", config)
        self._wait_relays({f"{robot.name} agent": robot.relay_port for robot in self.seating.robots})

    def _wait_relays(self, relays: Mapping[str, int]) -> None:
        for name, port in relays.items():
            self.nodes[name].wait_ready(lambda port=port: _listens(port), NODE_READY_S)  # type: ignore[misc]

    def _require_nodes(self) -> None:
        for node in self.nodes.values():
            if node.exit_code:
                raise node.failure(f"ended with code {node.exit_code} right after its start")

    def _node(self, name: str, log: Path, *verb: str) -> None:
        child = Child(Command(name, (sys.executable, "-c", MAIN, *verb), log))
        self.nodes[name] = child
        child.start()

    def _token(self, name: str) -> str:
        """Return the full-access token of one of our own servers, made up at its first start."""
        path = self._secrets / f"{name}.token"
        if not path.exists():
            save_token(self._secrets, name, new_token())
        return path.read_text().strip()


def _stop_all(members: dict[str, Child] | dict[str, Member], grace_s: float) -> list[tuple[str, str]]:
    """Stop several at once, so that the slowest one sets the time, not their sum."""
    if not members:
        return []
    with ThreadPoolExecutor(len(members)) as pool:
        try:
            stopping = {name: pool.submit(member.stop, grace_s) for name, member in members.items()}
            return [(name, ended(how)) for name, how in stopping.items()]
        except BaseException:  # interrupted once more: the pool is left only when its threads are done
            for member in members.values():
                member.kill()
            raise


def _listens(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1.0)
        return trial.connect_ex((HOST, port)) == 0


@contextlib.contextmanager
def _loop() -> Iterator[BackgroundLoop]:
    loop = BackgroundLoop("fleetbox-local")
    try:
        yield loop
    finally:
        loop.stop()
