"""Do one thing for each of many robots, several at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from fleetbox.blobs.together import together

T = TypeVar("T")

AT_ONCE = 16  # requests under way; more do not make a store on two cores any faster


async def for_each(robots: Iterable[str], ask: Callable[[str], Awaitable[T]], at_once: int = AT_ONCE) -> dict[str, T]:
    """Return robot -> result. After a failure no further one begins, those under way finish, then it is raised."""
    turns, failed = asyncio.Semaphore(at_once), False

    async def one(robot: str) -> tuple[str, T] | None:
        nonlocal failed
        async with turns:
            if failed:
                return None
            try:
                return robot, await ask(robot)
            except BaseException:
                failed = True
                raise

    return dict(found for found in await together([one(robot) for robot in robots]) if found is not None)
