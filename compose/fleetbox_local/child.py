"""Runs one program as a child process that never outlives us."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fleetbox.errors import FleetboxError
from fleetbox_local import leash

GRACE_S = 60.0  # the engine drains HTTP for 10 s and then syncs every file: systemd's advice for it is 60 s
POLL_S = 0.02  # a server is ready after about 100 ms; asking more often costs it CPU
LOG_LIMIT_BYTES = 20_000_000  # a log larger than this at start is set aside once, so that years of `up` stay small
TAIL_LINES = 15  # what fits a terminal under the error itself


@dataclass(frozen=True, slots=True)
class Command:
    """Say what to run: the whole environment, and where its output goes."""

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    keep_fds: tuple[int, ...] = ()
    cwd: Path | None = None


class Child:
    """Start, watch and end one process; it gets SIGTERM from the kernel when we die (Linux).

    It leads its own process group: Ctrl-C in a terminal reaches only us, and we end it gracefully.
    """

    def __init__(self, command: Command) -> None:
        self.command = command
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Tell the process id, also after its end; None before the start."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Tell whether it runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Tell how it ended (negative: by that signal); None while it runs or before."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start it; a program that cannot be started shows as an early end, with the reason in its log."""
        if self.alive:
            return
        log = self.command.log
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.exists() and log.stat().st_size > LOG_LIMIT_BYTES:
            log.replace(log.with_name(log.name + ".1"))
        with log.open("ab") as output:
            self._process = _spawn(self.command, output)

    def wait_ready(self, probe: Callable[[], bool], timeout_s: float) -> None:
        """Poll `probe` until it is true; raise FleetboxError with the log's tail on an early end or at the deadline."""
        deadline = time.monotonic() + timeout_s
        while not probe():
            if not self.alive:
                raise self.failure(f"ended with code {self.exit_code} before it was ready")
            if time.monotonic() > deadline:
                raise self.failure(f"was not ready after {timeout_s:.0f} s")
            time.sleep(POLL_S)

    def failure(self, what: str) -> FleetboxError:
        """Make the error for what went wrong with this child, its last words included."""
        words = "\n".join(f"    {line}" for line in self.tail())
        return FleetboxError(
            f"{self.command.name} {what}" + (f"; it said last:\n{words}" if words else ""),
            f"read its whole log: {self.command.log}",
        )

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """Return the last lines of its log."""
        with contextlib.suppress(OSError), self.command.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 16_384))  # 16 KiB hold 15 lines of any length worth reading
            return log.read().decode("utf-8", "replace").splitlines()[-lines:]
        return []

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; tell whether it came in time."""
        if self._process is None:
            return True
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> None:
        """Ask it to end; `stop` also waits for it."""
        if self.alive and self._process is not None:
            self._process.terminate()

    def stop(self, grace_s: float = GRACE_S) -> str:
        """End it with SIGTERM, after `grace_s` with SIGKILL; return "stopped", "killed" or "gone" (ended before)."""
        if not self.alive:
            self.wait(0)
            return "gone"
        self.terminate()
        if self.wait(grace_s):
            return "stopped"
        self.kill()
        return "killed"

    def kill(self) -> None:
        """End it and whatever it started at once with SIGKILL."""
        if self._process is None:
            return
        if self.alive:  # not reaped yet, so the group's number cannot belong to anybody else
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _spawn(command: Command, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """Fork from the spawner thread: the kernel's death signal is tied to the forking thread, not to the process."""

    def fork() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            _leashed(command.argv),
            env=dict(command.env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=command.keep_fds,
            process_group=0,
            cwd=command.cwd,
        )

    answer: Future[subprocess.Popen[bytes]] = Future()
    _spawner().put((fork, answer))
    try:
        return answer.result()
    except BaseException:  # interrupted meanwhile: nobody would ever know the process that is being made
        answer.add_done_callback(_discard)
        raise


def _discard(made: Future[subprocess.Popen[bytes]]) -> None:
    if made.exception() is None:
        made.result().kill()


def _leashed(argv: Sequence[str]) -> list[str]:
    # -I -S: nothing of the user's site is imported, 10 ms instead of 40
    return [sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), *argv]


_Job = tuple[Callable[[], "subprocess.Popen[bytes]"], "Future[subprocess.Popen[bytes]]"]
_jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
_spawner_lock = threading.Lock()
_spawner_pid = 0  # a forked copy of us has no spawner thread and must start its own


def _spawner() -> queue.SimpleQueue[_Job]:
    global _spawner_pid, _jobs
    with _spawner_lock:
        if _spawner_pid != os.getpid():
            _jobs = queue.SimpleQueue()
            threading.Thread(target=_serve, args=(_jobs,), name="fleetbox-spawner", daemon=True).start()
            _spawner_pid = os.getpid()
    return _jobs


def _serve(jobs: queue.SimpleQueue[_Job]) -> None:
    while True:
        fork, answer = jobs.get()
        try:
            answer.set_result(fork())
        except BaseException as error:  # handed to the caller, whatever it is
            answer.set_exception(error)
