"""Runs the real servers as child processes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fleetbox.errors import FleetboxError
from fleetbox_local.child import GRACE_S, Child, Command
from fleetbox_local.locks import lock_data_dir
from fleetbox_local.ports import HOST, free_port, require_free
from fleetbox_local.programs import Program, find_server, kill_container

__all__ = ["InfluxProcess", "StoreProcess", "find_server", "free_port"]

READY_S = 120.0  # a store with thousands of entries replays its journals first (3 s for 6,200); machines are busy
LOCK_WAIT_S = 15.0  # a server whose parent was killed drains HTTP for 10 s before it lets its folder go
PROBE_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0  # a busy machine takes seconds for what a server does in milliseconds
INDEX = ".folder"  # the engine's own, all there is in the folder of a bucket that holds nothing yet

STORE_ENV = {
    "RS_HOST": HOST,
    "RS_LOG_LEVEL": "INFO",
    "RS_SYSTEM_EVENTS_QUOTA_SIZE": "10MB",  # 10 GB by default: the engine's own diary would outgrow the rings
    "RS_IO_OPERATION_TIMEOUT": "300",  # s; receivers must outlast a slow uplink
    # The same on every tier: a batch a robot's store may send is one its edge and the cloud accept.
    "RS_IO_BATCH_MAX_SIZE": "8MB",
    "RS_IO_BATCH_MAX_RECORDS": "85",
    "RS_IO_BATCH_MAX_METADATA_SIZE": "512KB",
}


class ServerProcess(ABC):
    """Run one server over one data folder: one process, one port, one log beside the folder.

    `token` has full access; port and token are made up, and the program is found, when not given.
    """

    title: ClassVar[str]
    server: ClassVar[str]  # what `find_server` calls it

    def __init__(
        self,
        data_dir: Path,
        port: int | None = None,
        token: str | None = None,
        env: Mapping[str, str] | None = None,
        program: Program | None = None,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.port = port or free_port()
        self.token = token or new_token()
        self.program = program or find_server(self.server)
        self._extra_env = dict(env or {})
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Tell where it listens."""
        return f"http://{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        """Tell where its output goes."""
        return self.data_dir.with_name(self.data_dir.name + ".log")

    @property
    def pid(self) -> int | None:
        """Tell its process id; None before the start."""
        return self._child.pid if self._child else None

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._child is not None and self._child.alive

    @property
    def child(self) -> Child:
        """Return the process itself; raise FleetboxError before the start."""
        if self._child is None:
            raise FleetboxError(f"{self.title} on {self.data_dir} was not started yet", "start it first")
        return self._child

    def start(self) -> None:
        """Start it; raise FleetboxError for a busy port or folder. It is not ready yet: `wait_ready`."""
        if self.alive:
            return
        name = f"{self.title} on {self.data_dir}"
        lock = lock_data_dir(self.data_dir, LOCK_WAIT_S)
        try:
            require_free(self.port, name)
            self._mend()
            env = self._settings()
            argv = self.program.argv(self.data_dir, env, self._arguments())
            child = Child(Command(name, argv, self.log, {**_clean_environment(), **env}, keep_fds=(lock,)))
            self._child = child  # before the start: whoever is interrupted now still ends it
            child.start()
        finally:
            os.close(lock)  # the server inherited it and holds it until it ends

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it serves; raise FleetboxError with its log's tail if it does not in time."""
        self.child.wait_ready(self._serves, timeout_s)

    def stop(self, grace_s: float = GRACE_S) -> str:
        """End it gracefully; return "stopped", "killed" after `grace_s`, or "gone"."""
        how = self._child.stop(grace_s) if self._child else "gone"
        if how == "killed" and self.program.binary is None:
            kill_container(self.data_dir)
        return how

    def kill(self) -> None:
        """End it at once with SIGKILL, as a crash would."""
        if self.alive and self.program.binary is None:
            kill_container(self.data_dir)
        if self._child:
            self._child.kill()

    def _mend(self) -> None:  # noqa: B027 - most servers mend themselves
        """Put right what the server would not start with."""

    def _settings(self) -> dict[str, str]:
        return dict(self._extra_env)

    def _arguments(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def _serves(self) -> bool:
        """Tell whether it takes requests."""


class StoreProcess(ServerProcess):
    """Run ReductStore."""

    title = "ReductStore"
    server = "reductstore"

    def _mend(self) -> None:
        """Remove buckets whose making was cut off by a kill: the engine panics at a folder without settings."""
        for folder in self.data_dir.glob("[!.]*/"):
            with contextlib.suppress(OSError):  # somebody else's: the engine says what it misses
                if {item.name for item in folder.iterdir()} <= {INDEX}:
                    (folder / INDEX).unlink(missing_ok=True)
                    folder.rmdir()

    def _settings(self) -> dict[str, str]:
        own = {"RS_API_TOKEN": self.token, "RS_DATA_PATH": str(self.data_dir), "RS_PORT": str(self.port)}
        return {**STORE_ENV, **self._extra_env, **own}

    def _serves(self) -> bool:
        return ask(self.port, "GET", "/api/v1/ready", timeout_s=PROBE_TIMEOUT_S).status == 200


class InfluxProcess(ServerProcess):
    """Run InfluxDB 2, set up with an organisation, a bucket and a token on its first start."""

    title = "InfluxDB"
    server = "influxdb"
    org = "fleetbox"
    bucket = "fleet"

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Wait until it serves and is set up."""
        super().wait_ready(timeout_s)
        refused = set_up_influx(self.port, self.token, self.org, self.bucket)
        if refused is not None:
            raise FleetboxError(
                f"InfluxDB at {self.url} refused its first set-up ({refused.status}): {refused.body}",
                f"read its log: {self.log}",
            )

    def _arguments(self) -> tuple[str, ...]:
        return (
            "--bolt-path",
            str(self.data_dir / "influxd.bolt"),
            "--engine-path",
            str(self.data_dir / "engine"),
            "--sqlite-path",
            str(self.data_dir / "influxd.sqlite"),
            "--http-bind-address",
            f"{HOST}:{self.port}",
            "--reporting-disabled",
        )

    def _serves(self) -> bool:
        return ask(self.port, "GET", "/health", timeout_s=PROBE_TIMEOUT_S).status == 200


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold a server's answer; status 0 = nothing answered."""

    status: int
    body: str = ""


def ask(
    port: int,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    token: str | None = None,
    *,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> Answer:
    """Ask a local server something small, past any proxy of the environment; `token` is an InfluxDB one."""
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    with contextlib.closing(connection):
        try:
            connection.request(method, path, json.dumps(body) if body else None, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode("utf-8", "replace"))
        except (OSError, http.client.HTTPException):
            return Answer(0)


def set_up_influx(port: int, token: str, org: str, bucket: str) -> Answer | None:
    """Make an InfluxDB's first user, organisation and bucket, with this token; return its answer if it refused.

    None also when that was done before.
    """
    answer = ask(port, "GET", "/api/v2/setup")
    if answer.status != 200:
        return answer
    if not json.loads(answer.body).get("allowed"):
        return None
    wish = {
        "username": "fleetbox",
        "password": secrets.token_urlsafe(24),
        "org": org,
        "bucket": bucket,
        "token": token,
        "retentionPeriodSeconds": 0,
    }
    answer = ask(port, "POST", "/api/v2/setup", wish)
    return None if answer.status == 201 else answer


def new_token() -> str:
    """Make up a secret: 192 bits, in characters that need no quoting anywhere."""
    return secrets.token_hex(24)


def _clean_environment() -> dict[str, str]:
    """Copy our environment without settings meant for some other store of the user's."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("RS_", "INFLUXD_"))}
