"""What a person may do with a site's tokens: list, add, rotate, revoke; every answer as plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store, TokenInfo, TokenSpec
from fleetbox.errors import FleetboxError, InputError, NotFound
from fleetbox.naming import check_robot
from fleetbox.settings import FleetSettings, Place
from fleetbox_cloud.holders import Holder, robot_holder, site_holder
from fleetbox_cloud.provision import wanted_here
from fleetbox_cloud.rotate import Rotation
from fleetbox_cloud.state import state_folder
from fleetbox_cloud.tokens import holder_of, save_token, tokens_of

EVERYTHING = "everything"


async def list_tokens(fleet: FleetSettings, places: Sequence[Place]) -> list[dict[str, Any]]:
    """Return one row per token of each site; a site that cannot be asked has a row that says why."""
    rows: list[dict[str, Any]] = []
    for place in places:
        try:
            async with Store.at(place) as store:
                infos = await store.token_infos()
            needed = await _needed(fleet, place, infos)
        except FleetboxError as error:
            rows.append({"site": place.name, "error": error.message})
            continue
        rows += [_row(place.name, info, needed) for info in infos]
    return rows


async def add_token(
    fleet: FleetSettings, place: Place, name: str, robots: Sequence[str], *, write: bool = False
) -> dict[str, Any]:
    """Make a token that may read the buckets of some robots (`*`: of all), or write them too; return where it is kept.

    Raises InputError for a name that is taken, or kept for a robot or a site.
    """
    check_robot(name)
    if name in fleet.site or any(rule.match == name for rule in fleet.robots):
        raise InputError(f"{name!r} is the name of a robot or a site", "fleetbox site provision makes their tokens")
    buckets = tuple("*" if robot == "*" else f"{check_robot(robot)}--*" for robot in robots)
    async with Store.at(place) as store:
        if name in await store.tokens():
            raise InputError(f"{place.name} has a token {name!r} already", f"fleetbox tokens revoke {name} --yes")
        value = await store.ensure_token(TokenSpec(name, buckets, buckets if write else ()))
    if value is None:
        raise InputError(f"{place.name} has a token {name!r} already", f"fleetbox tokens revoke {name} --yes")
    file = save_token(state_folder(fleet, place.name) / "tokens", name, value)
    return {"site": place.name, "token": name, "may": _may(buckets, buckets if write else ()), "file": str(file)}


async def revoke_token(fleet: FleetSettings, place: Place, name: str, *, sure: bool) -> dict[str, Any]:
    """Say what revoking a token ends and, if `sure`, do it. Raises NotFound, or InputError for a provisioned one."""
    async with Store.at(place) as store:
        infos = await store.token_infos()
        info = next((info for info in infos if info.spec.name == name), None)
        if info is None:
            known = ", ".join(info.spec.name for info in infos) or "none"
            raise NotFound(f"{place.name} has no token {name!r}", f"known: {known}")
        if info.provisioned:
            raise InputError(
                f"token {name!r} stands in the settings of {place.name}'s store", "change RS_API_TOKEN there"
            )
        needed = await _needed(fleet, place, infos)
        last = holder_of(name) in needed and tokens_of(holder_of(name), (i.spec.name for i in infos)) == [name]
        if sure:
            await store.remove_token(name)
    row = _row(place.name, info, needed)
    ends = f"{holder_of(name)} has no other token here: its records wait until it has a new one" if last else None
    return {**row, "ends": ends, "revoked": sure}


async def rotate_token(
    fleet: FleetSettings, robot: str | None, site: str | None, config: Path | None, *, finish: bool = False
) -> dict[str, Any]:
    """Rotate the token of a robot at its site, or of a site at the next one; see `Rotation`."""
    holder = await find_holder(fleet, robot, site, config)
    async with Store.at(holder.site) as admin:
        rotation = Rotation(holder, admin, state_folder(fleet, holder.site.name) / "tokens")
        done = await (rotation.finish() if finish else rotation.run())
    return {**asdict(done), "file": str(done.file)}


async def preview_finish(
    fleet: FleetSettings, robot: str | None, site: str | None, config: Path | None
) -> list[dict[str, Any]]:
    """Return the holder's tokens with when each was last used: what shows whether it has taken the new one."""
    holder = await find_holder(fleet, robot, site, config)
    async with Store.at(holder.site) as admin:
        infos = await admin.token_infos()
    own = tokens_of(holder.name, (info.spec.name for info in infos))
    return [_row(holder.site.name, info, {holder.name}) for info in infos if info.spec.name in own]


async def find_holder(fleet: FleetSettings, robot: str | None, site: str | None, config: Path | None) -> Holder:
    """Return who is meant: a robot, else a site that passes records on."""
    if robot is not None:
        return robot_holder(fleet, robot, site, config)
    if site is None:
        raise InputError(
            "whose token is to be rotated?", "name a robot (--robot R) or a site that passes on (--site S)"
        )
    ahead = fleet.next_place(fleet.site_place(site).name)
    rights = TokenSpec(site)
    if ahead is not None and fleet.site[site].next_token is not None:
        place = fleet.site_place(ahead.name)
        async with Store.at(place) as store:
            found = (await wanted_here(store, fleet, place.name)).tokens.get(site)
        if found is None:
            raise NotFound(f"no robot's records pass {site}: it needs no token at {place.name}")
        rights = found
    return site_holder(fleet, site, rights)


async def _needed(fleet: FleetSettings, place: Place, infos: Sequence[TokenInfo]) -> set[str]:
    """Return the robots and sites that write to this site with a token of theirs."""
    robots = {rule.match for rule in fleet.robots if rule.site == place.name}
    sites = {name for name, table in fleet.site.items() if table.next == place.name}
    globbed = {holder for info in infos if (holder := holder_of(info.spec.name)) and _reports(fleet, holder, place)}
    return robots | sites | globbed


def _reports(fleet: FleetSettings, robot: str, place: Place) -> bool:
    try:
        return fleet.rule(robot).site == place.name
    except FleetboxError:
        return False


def _row(site: str, info: TokenInfo, needed: set[str]) -> dict[str, Any]:
    spec, holder = info.spec, holder_of(info.spec.name)
    return {
        "site": site,
        "token": spec.name,
        "holder": holder if holder in needed else None,
        "may": EVERYTHING if spec.full else _may(spec.read, spec.write),
        "created_us": info.created_us,
        "used_us": info.used_us,
        "expires_us": info.expires_us,
        "provisioned": info.provisioned,
    }


def _may(read: Sequence[str], write: Sequence[str]) -> str:
    both = [bucket for bucket in read if bucket in write]
    only = [f"read {bucket}" for bucket in read if bucket not in write]
    return ", ".join([*(f"read and write {bucket}" for bucket in both), *only]) or "nothing"
