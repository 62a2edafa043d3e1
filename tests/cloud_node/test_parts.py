"""Parts: what fails is started again, later each time, and named; what is done stays done."""

from __future__ import annotations

import asyncio

from fleetbox.errors import Unreachable
from fleetbox_cloud.parts import FIRST_WAIT_S, LONGEST_WAIT_S, Parts


def test_a_failing_part_is_started_again() -> None:
    """A part that fails seven times waits twice as long each time up to a bound, then runs and is done."""
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    left = 7

    async def flaky() -> None:
        nonlocal left
        left -= 1
        if left >= 0:
            raise Unreachable("nothing answers", "start it")

    parts = Parts(sleep)
    asyncio.run(parts.run({"flaky": flaky}))
    assert waits == [FIRST_WAIT_S * 2**n for n in range(5)] + [LONGEST_WAIT_S] * 2
    assert parts.report() == {"flaky": {"state": "done", "failures": 7, "why": None}}


def test_a_part_that_runs_again_waits_for_nothing() -> None:
    """Started again after a failure, a part's report counts the failure and no longer names a reason."""

    async def main() -> None:
        running, tries = asyncio.Event(), 0

        async def second_time_lucky() -> None:
            nonlocal tries
            tries += 1
            if tries == 1:
                raise Unreachable("nothing answers", "start it")
            running.set()
            await asyncio.Event().wait()

        parts = Parts(lambda _wait_s: asyncio.sleep(0))
        work = asyncio.create_task(parts.run({"lucky": second_time_lucky}))
        await running.wait()
        assert parts.report() == {"lucky": {"state": "running", "failures": 1, "why": None}}
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(main())


def test_one_failure_does_not_end_the_others() -> None:
    """While one part waits to be started again, with its reason told, the other goes on."""

    async def main() -> None:
        waiting, go = asyncio.Event(), asyncio.Event()

        async def sleep(wait_s: float) -> None:
            waiting.set()
            await asyncio.Event().wait()

        async def broken() -> None:
            raise ValueError("a fault of ours")

        async def steady() -> None:
            await go.wait()

        parts = Parts(sleep)
        work = asyncio.create_task(parts.run({"broken": broken, "steady": steady}))
        await waiting.wait()
        assert parts.report()["broken"] == {"state": "waiting", "failures": 1, "why": "ValueError: a fault of ours"}
        assert parts.report()["steady"]["state"] == "running"
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    asyncio.run(main())
