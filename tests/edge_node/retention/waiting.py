"""Wait for what becomes true in servers and agents, which set no event here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def until(
    true: Callable[[], Awaitable[object]], what: str, seconds: float = 150.0, seen: list[object] | None = None
) -> None:
    """Wait until something is true; fail with what it was, and with what was seen last."""
    deadline_s = time.monotonic() + seconds
    while not await true():
        assert time.monotonic() < deadline_s, (what, seen)
        await asyncio.sleep(0.1)
