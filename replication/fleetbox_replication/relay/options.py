"""What a relay may be given beyond its addresses: one value, so that call sites name only what they change."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from fleetbox.clock import Clock
from fleetbox_replication.dead_letters import DeadLetters
from fleetbox_replication.relay.pace import Pace
from fleetbox_replication.wire import Part

PATIENCE_S = 30.0  # three of the engine's own retries; a refused record holds up the other streams of its task too

OnStored = Callable[[str, str, Sequence[Part]], None]  # bucket, entry, the records vouched for there


@dataclass(frozen=True, slots=True)
class Timing:
    """Bring time and chance in from outside."""

    monotonic_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    chance: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Say how a relay trusts, tells time, keeps dead letters, paces, and whom it tells of proof.

    Without `letters` nothing is let through but conflicts, which no waiting ends. `patience_s` is how long a record
    is refused by itself before it is let through (`patience`). `on_stored` is told of every record that is vouched
    for, after the answer is decided; whatever it raises stays with it.
    """

    ca_file: str | None = None
    clock: Clock | None = None
    timing: Timing | None = None
    letters: DeadLetters | None = None
    pace: Pace | None = None
    on_stored: OnStored | None = None
    patience_s: float = PATIENCE_S
