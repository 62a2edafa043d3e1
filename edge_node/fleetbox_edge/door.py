"""The way to the robot's own store: one long-lived client, made anew when its token is replaced."""

from __future__ import annotations

from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.quotas import bucket_spec
from fleetbox.settings import Place

TIMEOUT_S = 10.0  # the store is on this machine; what takes longer is stuck


class RobotDoor:
    """Hold the client of a robot's store; use it from one event loop."""

    def __init__(self, place: Place, turns_in: Path | None = None) -> None:
        self.place = place
        self._turns_in = turns_in  # where the robot's processes take turns at a bucket
        self._token = ""
        self._store: Store | None = None

    @property
    def store(self) -> Store:
        """Return the client; raises AccessDenied when the settings' token cannot be read."""
        if self._store is None:
            self._token = self.place.current_token()
            self._store = Store(
                self.place.url, self._token, timeout_s=TIMEOUT_S, name=self.place.name, turns_in=self._turns_in
            )
        return self._store

    async def renew(self) -> None:
        """Read the token again and use it from now on."""
        if self._store is None or self.place.current_token() == self._token:
            return
        old, self._store = self._store, None
        await old.close()

    async def ensure_bucket(self, cls: str) -> None:
        """Make the bucket of a class, or bring its quota to what the settings say."""
        await self.store.ensure_bucket(cls, bucket_spec(cls, self.place.quota.get(cls)))

    async def close(self) -> None:
        """Close the client."""
        if self._store is not None:
            await self._store.close()
            self._store = None
