"""Secrets by reference: a file or an environment variable, never the value itself."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from fleetbox.errors import AccessDenied


@dataclass(frozen=True, slots=True)
class Secret:
    """Point at a secret; `read` fetches it anew each time, so a replaced file takes effect without a restart."""

    file: Path | None = None
    env: str | None = None

    def read(self) -> str:
        """Return the secret without outer white space; raise AccessDenied when it is not there."""
        if self.env is not None:
            value = os.environ.get(self.env, "").strip()
            if not value:
                raise AccessDenied(f"environment variable {self.env} holds no token", f"set {self.env}")
            return value
        assert self.file is not None
        try:
            value = self.file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise AccessDenied(
                f"token file {self.file} cannot be read: {error.strerror}", "put the token there"
            ) from None
        if not value:
            raise AccessDenied(f"token file {self.file} is empty", "put the token there")
        return value
