"""Writes the settings files of a local fleet."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from fleetbox.disk import write_whole
from fleetbox.signing import new_key, public_of
from fleetbox_cloud.tokens import save_token
from fleetbox_local.seating import Seat, Seating

ROBOT_RING = 'sensor = "1 GB", media = "2 GB", small = "500 MB", log = "200 MB", kept = "1 GB", leave_free = "1 GB"'
SITE_QUOTA = 'sensor = "2 GB", media = "4 GB", small = "1 GB", log = "1 GB", kept = "2 GB"'  # per robot
POLICY_KEY = "policy-key"  # signs policies sent over the air; every robot.toml names its public half
HEADER = "# Written by `fleetbox up` at each start; what is kept and shipped is yours to edit in policy.toml.\n"


def write_settings(seating: Seating, influx: Mapping[str, str] | None) -> Path:
    """Write fleet.toml and each robot.toml; return the path of fleet.toml. `influx` holds its org and bucket.

    policy.toml is written once and then left alone; so is the key that signs policies.
    """
    directory = seating.directory
    public = _signing_key(directory)
    policy = directory / "policy.toml"
    if not policy.exists():
        write_whole(policy, (files("fleetbox.samples") / "policy.toml").read_text(encoding="utf-8"))
    for robot in seating.robots:
        write_whole(robot.directory / "robot.toml", robot_toml(robot, seating.edge, public))
    write_whole(directory / "fleet.toml", fleet_toml(seating, influx))
    return directory / "fleet.toml"


def fleet_toml(seating: Seating, influx: Mapping[str, str] | None) -> str:
    """Return the text of fleet.toml; secrets are named by file, relative to it."""
    name = json.dumps(seating.directory.name)  # a JSON string is a TOML string
    parts = [
        HEADER,
        f'fleet  = {name}\npolicy = "policy.toml"\npolicy_key = {{ file = "{secret(POLICY_KEY)}" }}\n',
    ]
    parts += [
        f'\n[[robots]]\nmatch = "{robot.name}"\nsite  = "{seating.edge.name}"\nstore = "{robot.store_url}"\n'
        f'token = {{ file = "{secret(robot.name)}" }}\nrelay = "{robot.relay_url}"\n'
        for robot in seating.robots
    ]
    hop = secret(at_site(seating.edge.name, seating.cloud.name))
    onward = f'next  = "{seating.cloud.name}"\nnext_token = {{ file = "{hop}" }}\nrelay = "{seating.edge.relay_url}"\n'
    parts.append(_site(seating.edge, onward))
    if influx and seating.influx_port:
        parts.append(
            f'\n[site.{seating.edge.name}.influx]\nurl    = "http://127.0.0.1:{seating.influx_port}"\n'
            f'token  = {{ file = "{secret("influx")}" }}\norg    = "{influx["org"]}"\nbucket = "{influx["bucket"]}"\n'
        )
    parts.append(_site(seating.cloud, ""))
    return "".join(parts)


def robot_toml(robot: Seat, edge: Seat, public: str) -> str:
    """Return the text of one robot.toml; `public` is the key that vouches for policies sent to it."""
    return (
        f'{HEADER}robot       = "{robot.name}"\nstore       = "{robot.store_url}"\n'
        f'store_token = {{ file = "../{secret(robot.name)}" }}\n'
        f'site        = "{edge.store_url}"\nsite_name   = "{edge.name}"\n'
        f'site_token  = {{ file = "../{secret(at_site(robot.name, edge.name))}" }}\n'
        f'relay       = "{robot.relay_url}"\nstate       = "state"\npolicy      = "../policy.toml"\n'
        f'policy_keys = ["{public}"]\n'
        f"ring        = {{ {ROBOT_RING} }}\n"
    )


def secret(name: str) -> str:
    """Return where a token lies, relative to fleet.toml."""
    return f"secrets/{name}.token"


def at_site(who: str, site: str) -> str:
    """Name the token somebody uses at a site."""
    return f"{who}-at-{site}"


def _signing_key(directory: Path) -> str:
    """Return the public half of the fleet's signing key, which is made at the first start."""
    path = directory / secret(POLICY_KEY)
    if not path.exists():
        save_token(path.parent, POLICY_KEY, new_key()[0])
    return public_of(path.read_text(encoding="utf-8"))


def _site(site: Seat, more: str) -> str:
    return (
        f'\n[site.{site.name}]\nstore = "{site.store_url}"\ntoken = {{ file = "{secret(site.name)}" }}\n'
        f'{more}state = "{site.name}/state"\nquota = {{ {SITE_QUOTA} }}\n'
    )
