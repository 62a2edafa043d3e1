"""Try again what may work later: the one place that decides how often and how long."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import stamina

from fleetbox.errors import Unreachable


@dataclass(frozen=True, slots=True)
class Patience:
    """Say how often and how long to try; waits grow from first_wait_s, doubling up to longest_wait_s."""

    attempts: int | None  # None: only time ends it
    timeout_s: float | None  # None: only the attempts end it
    first_wait_s: float = 0.1  # a restarted store answers after about a second: be there soon
    longest_wait_s: float = 5.0  # what the engine itself waits between tries
    jitter_s: float = 0.5  # spreads a fleet that lost the same site at the same moment


PERSON = Patience(attempts=3, timeout_s=5.0)  # somebody is waiting at a terminal
READING = Patience(attempts=None, timeout_s=60.0)  # a query in flight outlives a restart of its store


def retrying(
    on: type[Exception] | tuple[type[Exception], ...] = Unreachable,
    attempts: int | None = PERSON.attempts,
    timeout_s: float | None = PERSON.timeout_s,
    *,
    patience: Patience | None = None,
) -> AsyncIterator[stamina.Attempt]:
    """Yield attempts until one succeeds or patience ends; then the last error is raised.

    `patience` goes before `attempts` and `timeout_s`.

    Example:
        async for attempt in retrying(Unreachable, attempts=5, timeout_s=30):
            with attempt:
                await store.write(bucket, drafts)
    """
    used = patience or Patience(attempts, timeout_s)
    return aiter(
        stamina.retry_context(
            on,
            attempts=used.attempts,
            timeout=used.timeout_s,
            wait_initial=used.first_wait_s,
            wait_max=used.longest_wait_s,
            wait_jitter=used.jitter_s,
        )
    )
