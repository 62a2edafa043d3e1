"""Hold the policy in force on a robot: the newest one taken over the air, else that of robot.toml.

What was taken lies in `state/policy/current.json`, so that a restart goes on with it; one process writes it (the holder
of the duties), every process of the robot looks at it a few times a second and follows. What has ended holds no more in
any of them, whoever may have died.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from fleetbox.disk import write_whole
from fleetbox.errors import FleetboxError
from fleetbox.settings import Policy, parse_policy
from fleetbox.signing import Envelope, decode

log = structlog.get_logger()

FILE = "current.json"
NEVER_US = 1 << 62


@dataclass(frozen=True, slots=True)
class Taken:
    """Hold a policy taken over the air: its envelope, the order that brought it, when, and what it followed."""

    envelope: Envelope
    policy: Policy
    order: str = ""
    at_us: int = 0
    before: Envelope | None = None  # None: robot.toml's own


def ends_us(taken: Taken) -> int:
    """Return when a policy taken over the air ends, in µs: its own end or its signature's, whichever is sooner."""
    own_us = taken.policy.expires_us
    return min(taken.envelope.expires_us, NEVER_US if own_us is None else own_us)


class LivePolicy:
    """Tell which policy holds now; thread-safe. `base` is robot.toml's, `folder` the robot's `state/policy`."""

    def __init__(self, base: Policy, folder: Path, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._base, self._path, self._now_us = base, folder / FILE, now_us
        self._taken: Taken | None = None
        self._found: Taken | None = None  # what lies on the disk, ended or not
        self._seen: tuple[int, int] | None = None  # mtime in ns and inode of the file as last read
        self._followers: list[Callable[[], None]] = []
        self._lock = threading.Lock()
        self.look()

    @property
    def current(self) -> Policy:
        """Return the policy in force."""
        taken = self._taken
        return self._base if taken is None else taken.policy

    @property
    def base(self) -> Policy:
        """Return robot.toml's policy."""
        return self._base

    @property
    def taken(self) -> Taken | None:
        """Return what was taken over the air and holds, None while robot.toml's own does."""
        return self._taken

    @property
    def lapsed(self) -> Taken | None:
        """Return what was taken, still lies on the disk, and has ended."""
        return self._found if self._taken is None else None

    def follow(self, changed: Callable[[], None]) -> None:
        """Have a function called after each change, by whichever thread looked; it must not block."""
        self._followers.append(changed)

    def look(self) -> bool:
        """Read the file anew if it is another one, and drop what has ended; return whether the policy in force changed.

        One stat otherwise.
        """
        with self._lock:
            seen = self._stamp()
            found = self._found if seen == self._seen else self._read() if seen else None
            held = None if found is None or ends_us(found) <= self._now_us() else found
            if seen == self._seen and held is self._taken:
                return False
            before = self.current.hash
            self._seen, self._found, self._taken = seen, found, held
            changed = self.current.hash != before
        for follower in self._followers if changed else ():
            follower()
        return changed

    def put(self, taken: Taken | None) -> None:
        """Put a policy in force, on the disk first; None returns to robot.toml's. Raises OSError."""
        if taken is None:
            self._path.unlink(missing_ok=True)
        else:
            self._write(taken)
        self.look()

    def _write(self, taken: Taken) -> None:
        raw = {
            "envelope": asdict(taken.envelope), "order": taken.order, "at_us": taken.at_us,
            "before": taken.before and asdict(taken.before),
        }  # fmt: skip
        write_whole(self._path, json.dumps(raw), durable=True)  # what was answered must hold after a power cut

    def _stamp(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino

    def _read(self) -> Taken | None:
        try:
            raw: dict[str, Any] = json.loads(self._path.read_text(encoding="utf-8"))
            envelope = decode(json.dumps(raw["envelope"]))
            before = decode(json.dumps(raw["before"])) if raw.get("before") else None
            return Taken(envelope, parse_policy(envelope.text), str(raw["order"]), int(raw["at_us"]), before)
        except (OSError, ValueError, KeyError, TypeError, FleetboxError) as error:
            log.warning("the policy taken over the air cannot be read; robot.toml's holds", why=str(error))
            return None


def live_policy(base: Policy, state: Path) -> LivePolicy:
    """Return the live policy of the robot with this state folder."""
    return LivePolicy(base, state / "policy")
