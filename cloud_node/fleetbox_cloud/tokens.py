"""Keep store tokens in files only their owner can read, and replace them."""

from __future__ import annotations

import os
from pathlib import Path

from fleetbox.blobs import Store, TokenSpec
from fleetbox.errors import FleetboxError


def robot_token(robot: str) -> TokenSpec:
    """Return what a robot may do at its site: read and write its own buckets, nothing of its neighbours'."""
    own = (f"{robot}--*",)
    return TokenSpec(robot, own, own)


def site_token(site: str, robots: list[str]) -> TokenSpec:
    """Return what a site may do at the next one: read and write the buckets of its robots."""
    own = tuple(f"{robot}--*" for robot in robots)
    return TokenSpec(site, own, own)


def save_token(folder: Path, name: str, value: str) -> Path:
    """Write a token to `folder/name.token`, mode 0600, whole or not at all; return the path."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{name}.token"
    fresh = path.with_suffix(f".{os.getpid()}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(value)
        fresh.replace(path)
    except OSError as error:
        raise FleetboxError(
            f"cannot keep the token of {name!r} in {path}: {error.strerror}",
            "the store holds it but shows it only once: make the folder writable, then replace the token",
        ) from error
    return path


async def replace_token(store: Store, spec: TokenSpec) -> str:
    """Remove a token and make it anew; return the new value. Whoever holds the old one is turned away at once."""
    if spec.name in await store.tokens():
        await store.remove_token(spec.name)
    value = await store.ensure_token(spec)
    if value is None:
        raise FleetboxError(f"token {spec.name!r} was made by somebody else meanwhile", "replace it again")
    return value
