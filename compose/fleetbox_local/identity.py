"""Names a process so that a reused process id is never mistaken for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """Point at a process by id and start time."""

    name: str
    pid: int
    started: str

    @property
    def alive(self) -> bool:
        """Tell whether this very process still runs."""
        return started(self.pid) == self.started

    def send(self, what: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, what)

    def wait(self, timeout_s: float) -> bool:
        """Wait for the end of a process that is not our child; tell whether it came in time."""
        deadline = time.monotonic() + timeout_s
        while self.alive:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True


def identify(name: str, pid: int) -> Process | None:
    """Name a running process; None if there is none with this id."""
    since = started(pid)
    return Process(name, pid, since) if since else None


def started(pid: int) -> str | None:
    """Return when a process started, in whatever unit this system tells; None once it has ended."""
    if sys.platform != "linux":
        answer = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return answer.stdout.strip() or None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # state; starttime in ticks since boot, proc(5) field 22
