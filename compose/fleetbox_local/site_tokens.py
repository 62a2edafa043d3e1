"""Provisions the sites of a local fleet and keeps the tokens they hand out."""

from __future__ import annotations

from pathlib import Path

from fleetbox.blobs import Store
from fleetbox.settings import FleetSettings
from fleetbox_cloud.provision import provision, wanted
from fleetbox_cloud.tokens import replace_token, save_token
from fleetbox_local.fleet_files import at_site

READY_S = 60.0  # the process is ready already; the port's own check costs one request


async def provision_sites(fleet: FleetSettings, secrets: Path) -> None:
    """Give every site its buckets and tokens; the tokens go to `secrets/<who>-at-<site>.token`."""
    for place in (fleet.site_place(name) for name in fleet.site):
        want = wanted(fleet, place.name)
        async with Store.at(place) as store:
            await store.wait_ready(READY_S)
            made = await provision(store, want)
            for name, spec in want.tokens.items():
                file = at_site(name, place.name)
                value = made.tokens.get(name)
                if value is None and not (secrets / f"{file}.token").exists():
                    value = await replace_token(store, spec)  # the store knows it, but nobody here does any more
                if value is not None:
                    save_token(secrets, file, value)
