"""Real servers for the tests: one shared store, further ones on demand, one InfluxDB."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import accepted_too_late
import pytest
from hypothesis import HealthCheck, settings

from fleetbox.errors import MissingServer
from fleetbox_local.processes import InfluxProcess, StoreProcess, find_server

MAY_BE_SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # a busy core: that is not wrong
settings.register_profile("shared", MAY_BE_SLOW, derandomize=True)  # a failure tells of the change, not of the dice
settings.register_profile("explore", MAY_BE_SLOW, max_examples=2_000)  # `make explore` throws them
settings.load_profile("shared")

START_S = 120.0  # two busy cores; a store is normally ready after 0.1 s
STOP_S = 60.0  # the engine drains open connections for 10 s, and then syncs every file
PROMPT = {"RS_REPLICATION_TIMEOUT": "1"}  # s; the engine's own 5 s after each trouble only make a test longer

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun behind a script: programs that we start would be deaf too
    signal.signal(signal.SIGINT, signal.default_int_handler)
accepted_too_late.close_them()


class Server:
    """A real server that can be stopped, killed and started again on the same port and data."""

    def __init__(self, process: StoreProcess | InfluxProcess) -> None:
        self.process = process
        self.data_dir = process.data_dir
        self.url = process.url
        self.port = process.port
        self.token = process.token

    def start(self) -> None:
        self.process.start()
        self.process.wait_ready(START_S)

    def stop(self) -> None:
        self.process.stop(STOP_S)

    def kill(self) -> None:
        self.process.kill()


class StoreServer(Server):
    """A ReductStore; `env` are the engine's own settings."""

    def __init__(self, data_dir: Path, **env: str) -> None:
        super().__init__(StoreProcess(data_dir, env={**PROMPT, **env}))


class InfluxServer(Server):
    """An InfluxDB 2."""

    def __init__(self, data_dir: Path) -> None:
        super().__init__(InfluxProcess(data_dir))
        self.org = InfluxProcess.org
        self.bucket = InfluxProcess.bucket


def hang(pid: int) -> None:
    """Stop a process and wait until all of it has stopped: on a busy core it may answer once more before it does."""
    os.kill(pid, signal.SIGSTOP)
    while any(_state(task) not in "TZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        time.sleep(0.01)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"  # a thread that has just ended


@pytest.fixture(scope="session")
def store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    """One store for all tests that only need names of their own; never stop or fill it."""
    server = StoreServer(tmp_path_factory.mktemp("store") / "data")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def new_store_server(tmp_path: Path) -> Iterator[Callable[..., StoreServer]]:
    """Start further stores, with the engine's settings as keywords: new_store_server(RS_LOG_LEVEL="DEBUG")."""
    servers: list[StoreServer] = []

    def start(**env: str) -> StoreServer:
        server = StoreServer(tmp_path / f"store-{len(servers)}", **env)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.kill()


@pytest.fixture
def bucket_name() -> str:
    """A bucket nobody else uses."""
    return f"b-{uuid.uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def influx_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxServer]:
    """One InfluxDB for all tests, set up with an organisation and a bucket."""
    try:
        find_server("influxdb")
    except MissingServer as missing:
        pytest.skip(f"{missing.message}; install it: fleetbox servers install --influx")
    server = InfluxServer(tmp_path_factory.mktemp("influx") / "data")
    server.start()
    yield server
    server.kill()
