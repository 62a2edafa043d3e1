"""Name the tokens of a site's store, keep them in files only their owner can read, make them anew."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from fleetbox.blobs import Store, TokenSpec
from fleetbox.errors import FleetboxError

_NEXT = re.compile(r"--\d+$")  # no robot and no site has "--" in its name


def robot_token(robot: str) -> TokenSpec:
    """Return what a robot may do at its site: read and write its own buckets, nothing of its neighbours'."""
    own = (f"{robot}--*",)
    return TokenSpec(robot, own, own)


def site_token(site: str, robots: list[str]) -> TokenSpec:
    """Return what a site may do at the next one: read and write the buckets of its robots."""
    own = tuple(f"{robot}--*" for robot in robots)
    return TokenSpec(site, own, own)


def holder_of(token: str) -> str:
    """Return whose token it is by its name: "r1" for "r1" and for "r1--2", which follows it when it is rotated.

    A store makes a token's value up once and never changes it, and names are unique: the next value needs another name.
    """
    return _NEXT.sub("", token)


def next_name(holder: str, taken: Iterable[str]) -> str:
    """Return the first free name for a holder's token: two take turns, so that the store's diary does not grow."""
    names, number = set(taken), 2
    name = holder
    while name in names:
        name, number = f"{holder}--{number}", number + 1
    return name


def tokens_of(holder: str, tokens: Iterable[str]) -> list[str]:
    """Return those of a store's tokens that are a holder's; more than one only while they are being rotated."""
    return sorted(token for token in tokens if holder_of(token) == holder)


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
    """Remove a holder's token and make it anew; return the new value. The old one is turned away at once."""
    for token in tokens_of(spec.name, await store.tokens()):
        await store.remove_token(token)
    value = await store.ensure_token(spec)
    if value is None:
        raise FleetboxError(f"token {spec.name!r} was made by somebody else meanwhile", "replace it again")
    return value


async def ensure_token(store: Store, spec: TokenSpec, there: Iterable[str]) -> str | None:
    """Make a holder's token, or make it anew if its rights differ; return the value if it is new."""
    value = None
    for token in tokens_of(spec.name, there) or [spec.name]:
        value = await store.ensure_token(replace(spec, name=token)) or value
    return value
