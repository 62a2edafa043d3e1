"""Say which site is meant and where its own files are: its door, its cursor, tokens newly made."""

from __future__ import annotations

import hashlib
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.settings import FleetSettings, Influx, Place


def state_folder(fleet: FleetSettings, site: str) -> Path:
    """Return a site's state folder: the one in the settings, else one beside fleet.toml."""
    return fleet.site[site].state or fleet.source.parent / "state" / site


def mark_of(influx: Influx) -> str:
    """Return what names of files have that belong to one InfluxDB bucket."""
    return hashlib.sha256(f"{influx.url}\n{influx.org}\n{influx.bucket}".encode()).hexdigest()[:8]


def pick_site(fleet: FleetSettings, name: str | None) -> Place:
    """Return the site meant: the one named, else the only one there is; raise InputError when that is unclear."""
    if name is None and len(fleet.site) == 1:
        name = next(iter(fleet.site))
    if name is None:
        raise InputError(
            f"{fleet.source} has {len(fleet.site)} sites: say which one", f"--site {' or '.join(fleet.site) or 'NAME'}"
        )
    return fleet.site_place(name)
