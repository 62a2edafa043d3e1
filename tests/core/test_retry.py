"""Trying again ends with success, or with the last error."""

from __future__ import annotations

import asyncio

import pytest

from fleetbox.errors import AccessDenied, Unreachable
from fleetbox.retry import Patience, retrying

QUICK = Patience(attempts=4, timeout_s=5.0, first_wait_s=0.001, longest_wait_s=0.002, jitter_s=0.0)


@pytest.mark.parametrize(("failures", "calls"), [(0, 1), (3, 4)])
def test_a_call_is_repeated_until_it_works(failures: int, calls: int) -> None:
    """After some failures the call's own result counts."""
    made: list[int] = []

    async def act() -> None:
        async for attempt in retrying(Unreachable, patience=QUICK):
            with attempt:
                made.append(1)
                if len(made) <= failures:
                    raise Unreachable("away")

    asyncio.run(act())
    assert len(made) == calls


@pytest.mark.parametrize(("error", "calls"), [(Unreachable("away"), 4), (AccessDenied("no"), 1)])
def test_patience_ends_and_other_errors_pass_at_once(error: Exception, calls: int) -> None:
    """The last error is raised as it is; what no retry can mend is not retried."""
    made: list[int] = []

    async def act() -> None:
        async for attempt in retrying(Unreachable, patience=QUICK):
            with attempt:
                made.append(1)
                raise error

    with pytest.raises(type(error)):
        asyncio.run(act())
    assert len(made) == calls
