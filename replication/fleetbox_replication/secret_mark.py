"""Notice that a store's own token was replaced: its tasks must show the relay beside them another secret then."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

from fleetbox.errors import AccessDenied
from fleetbox_replication.relay_secret import relay_secret

LOOK_S = 2.0  # a file of forty bytes; records wait from the moment the old token ends until this was seen


class SecretMark:
    """Remember, as a hash, which secret the tasks were last written with: the engine never shows it."""

    def __init__(self, folder: Path, secret: str) -> None:
        self._path = folder / "tasks.mark"
        self._mark = hashlib.sha256(secret.encode()).hexdigest()[:16]

    @property
    def known(self) -> bool:
        """Tell whether the tasks hold this secret."""
        return self._path.exists() and self._path.read_text() == self._mark

    def keep(self) -> None:
        """Note that they do."""
        if not self.known:
            self._path.write_text(self._mark)


async def until_changed(
    token: Callable[[], str], secret: str, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Return once the secret that follows from a token as it stands is another one; a token that is away is none."""
    while True:
        with suppress(AccessDenied):
            if relay_secret(token()) != secret:
                return
        await sleep(LOOK_S)


async def while_secret(token: Callable[[], str], secret: str, work: Coroutine[Any, Any, None]) -> None:
    """Run work until it ends, or until the secret is no longer the token's; raises what the work raises."""
    working, watching = asyncio.create_task(work), asyncio.create_task(until_changed(token, secret))
    try:
        done, _ = await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working in done:
            working.result()
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)
