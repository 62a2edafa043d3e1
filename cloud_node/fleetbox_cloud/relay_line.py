"""Ask a holder's relay which token it uses, and whether it gets through with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from fleetbox.errors import AccessDenied, Incomplete
from fleetbox_cloud.holders import Holder

ANSWER_S = 10.0  # a store at the other end of a bad link answers within
TAKES_S = 20.0  # a relay reads its token again every few seconds, and whenever it is turned away
POLL_S = 0.1
GONE = "does not run: it reads the new token when it starts"
FAR = "not within reach"


class RelayLine:
    """Speak with the relay of a holder, where it is on this machine; elsewhere it says so."""

    def __init__(self, holder: Holder, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._holder, self._sleep = holder, sleep

    async def wait_for(self, token: str, verb: str) -> None:
        """Return once the relay uses a token, or cannot be asked; raises Incomplete while it keeps another one."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TAKES_S
        while (used := await self._uses()) not in (None, token):
            if loop.time() >= until_s:
                raise Incomplete(
                    f"the relay of {self._holder.name} at {self._holder.relay} still uses {used!r}; nothing is revoked",
                    f"see that it may read {self._holder.where}; then: {verb}",
                )
            await self._sleep(POLL_S)

    async def wait_through(self, verb: str) -> str:
        """Return what the relay does once it gets through to its site; raises Incomplete when it does not."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TAKES_S
        while True:
            status = await self._probe()
            if status in (200, 404):
                return "passes records on with the new token"
            if isinstance(status, str):
                return status
            if loop.time() >= until_s:
                raise Incomplete(
                    f"the relay of {self._holder.name} at {self._holder.relay} does not get through to "
                    f"{self._holder.site.name} (status {status}): records wait; the new token stands in "
                    f"{self._holder.where}, the old one is revoked",
                    f"see that the relay may read that file; then: {verb}",
                )
            await self._sleep(POLL_S)

    async def _uses(self) -> str | None:
        """Return the name of the token the relay uses, after it had something to pass on; None if it cannot tell."""
        if isinstance(await self._probe(), str):
            return None
        try:
            async with self._http() as http, http.get(f"{self._holder.relay}/relay/status") as answer:
                used = (await answer.json()).get("token")
        except (aiohttp.ClientError, TimeoutError):
            return ""  # busy or just ending: asked again
        return str(used) if used else None

    async def _probe(self) -> int | str:
        """Send what a task may ask through the relay; return the status, 0 without an answer, or why it cannot be."""
        try:
            secret = self._holder.secret() if self._holder.secret else None
        except AccessDenied:
            secret = None  # the key to the holder's own store is not ours to read
        if secret is None or self._holder.relay is None:
            return FAR
        headers = {"Authorization": f"Bearer {secret}"}
        url = f"{self._holder.relay}/api/v1/b/{self._holder.bucket}"
        try:
            async with self._http() as http, http.get(url, headers=headers) as answer:
                return answer.status
        except aiohttp.ClientConnectorError:
            return GONE
        except (aiohttp.ClientError, TimeoutError):
            return 0

    def _http(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S))
