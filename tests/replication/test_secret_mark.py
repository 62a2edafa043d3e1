"""A replaced token is noticed, by a mark across restarts and by a look while something runs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from fleetbox.errors import AccessDenied, FleetboxError
from fleetbox_replication.relay_secret import relay_secret
from fleetbox_replication.secret_mark import SecretMark, until_changed, while_secret


def test_a_mark_knows_its_secret_only(tmp_path: Path) -> None:
    """A mark kept for one secret is known to a later one of the same secret, and the file does not show it."""
    mark = SecretMark(tmp_path, "one")
    assert not mark.known
    mark.keep()
    assert SecretMark(tmp_path, "one").known
    assert not SecretMark(tmp_path, "two").known
    assert "one" not in next(tmp_path.iterdir()).read_text()


def test_a_change_is_noticed() -> None:
    """The same token, or none while it is being replaced, is no change; another one is."""
    tokens = iter(["a", None, "a", "b"])
    looks = 0

    def token() -> str:
        value = next(tokens)
        if value is None:
            raise AccessDenied("the file is away")
        return value

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1

    asyncio.run(until_changed(token, relay_secret("a"), sleep))
    assert looks == 3


def test_work_ends_with_its_secret() -> None:
    """Work is cancelled when the token is another one, and what it raises before is raised."""
    ended = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    async def failing() -> None:
        raise FleetboxError("failed")

    asyncio.run(while_secret(lambda: "b", relay_secret("a"), work()))
    assert ended == [True]
    with pytest.raises(FleetboxError, match="failed"):
        asyncio.run(while_secret(lambda: "a", relay_secret("a"), failing()))
