"""Put a token where its holder reads it, whole or not at all, with the owner and the rights the file had."""

from __future__ import annotations

import os
from pathlib import Path

from fleetbox.disk import OWNER_ONLY
from fleetbox.errors import FleetboxError


def hand_over(file: Path, value: str) -> None:
    """Replace the contents of a token file at once; raises FleetboxError, with the old contents in place, if not.

    Its owner and mode stay: an agent that may no longer read its token would be locked out.
    """
    fresh = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        before = file.stat() if file.exists() else None
        mode = before.st_mode & 0o777 if before else OWNER_ONLY
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, OWNER_ONLY), "w") as out:
            out.write(value)
            out.flush()
            os.fsync(out.fileno())  # the old value is revoked next: a power cut must not leave an empty file
        fresh.chmod(mode)
        if before and (before.st_uid, before.st_gid) != (fresh.stat().st_uid, fresh.stat().st_gid):
            os.chown(fresh, before.st_uid, before.st_gid)
        fresh.replace(file)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise FleetboxError(
            f"cannot put the new token into {file}: {error.strerror}; the old one stays valid",
            "run it again as the file's owner, or with sudo",
        ) from error
