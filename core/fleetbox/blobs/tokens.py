"""Access tokens of a store."""

from __future__ import annotations

from datetime import datetime

from reduct.msg.token import FullTokenInfo, Permissions

from fleetbox.blobs.values import TokenInfo, TokenSpec
from fleetbox.blobs.wire import Wire
from fleetbox.errors import NotFound


async def names(wire: Wire) -> list[str]:
    """Return the names of all tokens, sorted."""
    with wire.translating("list tokens"):
        return sorted(token.name for token in await wire.admin.get_token_list())


async def infos(wire: Wire) -> list[TokenInfo]:
    """Return all tokens with what they may do, sorted by name; one request a token."""
    found = []
    for name in await names(wire):
        try:
            with wire.translating(f"look at token {name}"):
                token = await wire.admin.get_token(name)
        except NotFound:
            continue  # removed since it was listed
        used, expires = _us(token.last_access), _us(token.expires_at)
        found.append(TokenInfo(_spec(token), _us(token.created_at) or 0, used, expires, token.is_provisioned))
    return found


async def used(wire: Wire) -> dict[str, int]:
    """Return token -> when it was last used in µs; one request."""
    with wire.translating("list tokens"):
        found = {token.name: _us(token.last_access) for token in await wire.admin.get_token_list()}
    return {name: used_us for name, used_us in found.items() if used_us}


async def ensure(wire: Wire, wanted: TokenSpec) -> str | None:
    """Create a token and return its value, or return None if it is there with these permissions.

    A token with other permissions is replaced: the engine cannot change one, so its value changes too.
    """
    try:
        with wire.translating(f"look at token {wanted.name}"):
            actual = _spec(await wire.admin.get_token(wanted.name))
    except NotFound:
        return await _create(wire, wanted)
    if actual == _sorted(wanted):
        return None
    await remove(wire, wanted.name)
    return await _create(wire, wanted)


async def remove(wire: Wire, name: str) -> None:
    """Remove a token; who holds it is turned away from now on."""
    with wire.translating(f"remove token {name}"):
        await wire.admin.remove_token(name)


async def own(wire: Wire) -> TokenSpec:
    """Return what the token in use may do."""
    with wire.translating("ask what this token may do"):
        return _spec(await wire.admin.me())


async def _create(wire: Wire, wanted: TokenSpec) -> str:
    permissions = Permissions(full_access=wanted.full, read=list(wanted.read), write=list(wanted.write))
    with wire.translating(f"create token {wanted.name}"):
        value: str = await wire.admin.create_token(wanted.name, permissions)
    return value


def _spec(token: FullTokenInfo) -> TokenSpec:
    may = token.permissions
    return _sorted(TokenSpec(token.name, tuple(may.read), tuple(may.write), may.full_access))


def _sorted(spec: TokenSpec) -> TokenSpec:
    return TokenSpec(spec.name, tuple(sorted(spec.read)), tuple(sorted(spec.write)), spec.full)


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)
