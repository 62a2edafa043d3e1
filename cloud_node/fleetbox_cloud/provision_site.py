"""Provision a site named in fleet.toml and keep the tokens newly made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.settings import FleetSettings, Place
from fleetbox_cloud.provision import Change, provision, wanted_here
from fleetbox_cloud.state import state_folder
from fleetbox_cloud.tokens import replace_token, save_token


async def provision_site(
    fleet: FleetSettings, place: Place, extra_robots: Sequence[str] = (), replaced: str | None = None
) -> dict[str, Any]:
    """Provision a site; return its name, the changes, and per new token the file (mode 0600) that holds it.

    `replaced` names a token to make anew besides; raises NotFound when the site needs no such token.
    """
    async with Store.at(place) as store:
        want = await wanted_here(store, fleet, place.name, extra_robots)
        if replaced is not None and replaced not in want.tokens:
            known = ", ".join(want.tokens) or "none"
            raise NotFound(f"site {place.name!r} has no token {replaced!r} to replace", f"known: {known}")
        done = await provision(store, want)
        changes, values = list(done.changes), dict(done.tokens)
        if replaced is not None and replaced not in values:
            values[replaced] = await replace_token(store, want.tokens[replaced])
            changes.append(Change("token", replaced, "replaced"))
    folder = state_folder(fleet, place.name) / "tokens"
    files = {name: str(save_token(folder, name, value)) for name, value in values.items()}
    return {"site": place.name, "changes": [asdict(change) for change in changes], "tokens": files}
