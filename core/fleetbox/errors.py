"""The errors people and programs decide by.

FleetboxError            exit 1   anything fleetbox can explain
├── InputError           exit 2   the caller's argument is wrong
│   └── SettingsError    exit 2   a settings file is wrong; every fault at once
├── Incomplete           exit 3   finished, but with loss or only in part
├── Unreachable          exit 4   nothing answered; trying again later may help
├── AccessDenied         exit 5   the token is wrong, expired or too weak
├── NotFound             exit 1   the thing asked for is not there
├── StoreRefused         exit 1   a store answered no, with a status
└── MissingServer        exit 1   a server program is neither here nor can be built
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class FleetboxError(Exception):
    """Say what was tried, on what, why it failed and what to do next."""

    exit_code = 1

    def __init__(self, message: str, next_step: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __str__(self) -> str:
        return self.message if self.next_step is None else f"{self.message}\n  next: {self.next_step}"


class InputError(FleetboxError, ValueError):
    """Reject an argument: a name, a label, a time, a selector, a file."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """Point at one wrong value in a settings file."""

    file: str
    key: str
    value: str
    why: str

    def __str__(self) -> str:
        shown = f" = {self.value}" if self.value else ""
        return f"{self.file}: {self.key}{shown}: {self.why}"


class SettingsError(InputError):
    """Report every fault of a settings file at once, with file, key and value."""

    def __init__(self, faults: Sequence[Fault], next_step: str | None = None) -> None:
        self.faults = tuple(faults)
        count = f"{len(faults)} faults" if len(faults) > 1 else "1 fault"
        lines = "\n".join(f"  {fault}" for fault in faults)
        super().__init__(f"settings cannot be used, {count}:\n{lines}", next_step)


class Incomplete(FleetboxError):
    """Finish with loss, or only in part: what was done stands."""

    exit_code = 3


class Unreachable(FleetboxError):
    """Give up waiting for an answer; the same call may work later."""

    exit_code = 4


class AccessDenied(FleetboxError):
    """Be turned away: the token is wrong, expired, revoked or too weak."""

    exit_code = 5


class NotFound(FleetboxError):
    """Miss the bucket, entry, record, stream or event asked for."""


class StoreRefused(FleetboxError):
    """Carry a store's refusal and its HTTP status."""

    def __init__(self, message: str, status: int, next_step: str | None = None) -> None:
        super().__init__(message, next_step)
        self.status = status


class MissingServer(FleetboxError):
    """Find no server program and no way to get one on this machine."""
