"""Rotate a token without a pause: the new one is made, tried and handed over before the old one is revoked.

Each step is found again by looking, so that a rotation that was killed goes on where it stopped: the new value is on
disk from the moment it is known, and only tokens that the holder does not read any more are ever revoked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied, FleetboxError, Incomplete, InputError, NotFound
from fleetbox_cloud.handing import hand_over
from fleetbox_cloud.holders import Holder
from fleetbox_cloud.relay_line import RelayLine
from fleetbox_cloud.tokens import next_name, save_token, tokens_of

TRY_S = 10.0  # a store at the other end of a bad link answers within


@dataclass(frozen=True, slots=True)
class Rotated:
    """Say how far a rotation came: `token` is the new one's name, `revoked` the names of those that ended.

    `relay` says what the holder's relay did with it, `file` where the holder reads it, or where it waits for a person
    who takes it there: then `next_step` says how it ends.
    """

    holder: str
    site: str
    token: str
    revoked: tuple[str, ...]
    file: Path
    relay: str
    next_step: str | None = None


class Rotation:
    """Rotate one holder's token; `admin` is the site's store with full access, `folder` keeps the value meanwhile."""

    def __init__(
        self,
        holder: Holder,
        admin: Store,
        folder: Path,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._holder, self._admin, self._folder = holder, admin, folder
        self._line = RelayLine(holder, sleep)
        self._waiting = f"{holder.name}.next"
        self._verb = f"fleetbox tokens rotate {holder.flag}"

    @property
    def waiting_file(self) -> Path:
        """Return where the new value waits while a rotation is under way."""
        return self._folder / f"{self._waiting}.token"

    async def run(self) -> Rotated:
        """Do all there is to do from here; raises AccessDenied without full access to the site's store.

        Where the holder's file cannot be reached, a person takes the value there and `finish` does the rest.
        """
        value, name = await self._waiting_value() or await self._made()
        await self._try(value)
        file = self._holder.file
        if file is None:
            step = f"put what {self.waiting_file} holds into {self._holder.where}; then: {self._verb} --finish --yes"
            return self._rotated(name, (), self.waiting_file, "not within reach", step)
        old = _contents(file)
        if old != value:
            await asyncio.to_thread(hand_over, file, value)
        await self._line.wait_for(name, self._verb)
        if _contents(file) != value:
            raise Incomplete(f"{file} was given another token meanwhile; nothing is revoked", self._verb)
        return await self._end(value, name, old)

    async def finish(self) -> Rotated:
        """Revoke the old token after a person has taken the new one to its holder; raises InputError if none waits."""
        found = await self._waiting_value()
        if found is None:
            raise InputError(
                f"no new token of {self._holder.name} waits in {self.waiting_file}",
                f"begin with: {self._verb}",
            )
        await self._try(found[0])
        return await self._end(*found, None)

    async def used_us(self, name: str) -> int | None:
        """Return when the store last saw a token used, in µs; late by a minute."""
        return next((info.used_us for info in await self._admin.token_infos() if info.spec.name == name), None)

    async def _waiting_value(self) -> tuple[str, str] | None:
        """Return value and name of the token that a rotation before this one made, if it is still good."""
        value = _contents(self.waiting_file)
        if value is None:
            return None
        try:
            async with self._with(value) as store:
                return value, (await store.whoami()).name
        except AccessDenied:
            self.waiting_file.unlink(missing_ok=True)  # revoked meanwhile, by a rotation elsewhere
            return None

    async def _made(self) -> tuple[str, str]:
        """Make the next token, and keep its value before anything else: the store never shows it again."""
        name = next_name(self._holder.name, await self._admin.tokens())
        value = await self._admin.ensure_token(replace(self._holder.spec, name=name))
        if value is None:
            raise FleetboxError(f"token {name!r} was made by somebody else meanwhile", "rotate again")
        save_token(self._folder, self._waiting, value)
        return value, name

    async def _try(self, value: str) -> None:
        """Use a token as its holder would; raises AccessDenied when it does not do."""
        async with self._with(value) as store:
            await store.whoami()
            with suppress(NotFound):  # a bucket that is not there yet denies nothing
                await store.entries(self._holder.bucket)

    async def _end(self, value: str, name: str, old: str | None) -> Rotated:
        """Revoke every other token of the holder, see that it is dead and that the relay goes on, and tidy up."""
        others = [token for token in tokens_of(self._holder.name, await self._admin.tokens()) if token != name]
        for token in others:
            with suppress(NotFound):
                await self._admin.remove_token(token)
        if old is not None and old != value:
            await self._require_dead(old)
        relay = await self._line.wait_through(self._verb)
        if (self._folder / f"{self._holder.name}.token").exists():
            save_token(self._folder, self._holder.name, value)  # what provisioning wrote there is dead
        self.waiting_file.unlink(missing_ok=True)
        return self._rotated(name, tuple(others), self._holder.file or self.waiting_file, relay, None)

    async def _require_dead(self, value: str) -> None:
        try:
            async with self._with(value) as store:
                still = (await store.whoami()).name
        except AccessDenied:
            return
        raise Incomplete(
            f"the token that {self._holder.name} used until now still opens {self._holder.site.name}: it is {still!r}",
            f"if nobody else needs it: fleetbox tokens revoke {still} --site {self._holder.site.name} --yes",
        )

    def _with(self, value: str) -> Store:
        place = self._holder.site
        return Store(place.url, value, timeout_s=TRY_S, name=place.name)

    def _rotated(self, name: str, revoked: tuple[str, ...], file: Path, relay: str, step: str | None) -> Rotated:
        return Rotated(self._holder.name, self._holder.site.name, name, revoked, file, relay, step)


def _contents(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8").strip() or None
    except FileNotFoundError:
        return None
