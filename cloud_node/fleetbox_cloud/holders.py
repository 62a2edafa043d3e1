"""Find who writes to a site with which token, and where that token is read: a robot, or the site before it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fleetbox.blobs import TokenSpec
from fleetbox.errors import FleetboxError, InputError
from fleetbox.naming import site_bucket
from fleetbox.settings import FleetSettings, Place, RobotSettings, Secret, load_robot
from fleetbox.settings.fleet import ROBOT_FILE
from fleetbox_cloud.tokens import robot_token
from fleetbox_replication.relay_secret import relay_secret


@dataclass(frozen=True, slots=True)
class Holder:
    """Say who holds a token at `site`, what it may do there, and a bucket to try it with.

    `file` is where its relay reads the token, None where that cannot be reached from here; `where` says it in words.
    `relay` and `secret` lead to that relay, None where it is not on this machine.
    """

    name: str
    site: Place
    spec: TokenSpec
    bucket: str
    file: Path | None
    where: str
    flag: str  # how the command line names it
    relay: str | None = None
    secret: Callable[[], str] | None = None


def robot_holder(fleet: FleetSettings, robot: str, site: str | None, config: Path | None) -> Holder:
    """Return a robot as the holder of its token at the site it reports to.

    Its robot.toml is the one given, the one that `fleetbox up` wrote beside fleet.toml, or this machine's own.
    """
    reports_to = fleet.rule(robot).site
    if reports_to is None or (site is not None and site != reports_to):
        raise InputError(f"{robot} has no token at {site or 'any site'}", f"it reports to {reports_to or 'none'}")
    place, bucket, spec = fleet.site_place(reports_to), site_bucket(robot, "meta"), robot_token(robot)
    settings = _settings_of(fleet, robot, config)
    if settings is None:
        where = f"the file that `site_token` names in robot.toml on {robot}"
        return Holder(robot, place, spec, bucket, None, where, f"--robot {robot}")
    secret = settings.site_token
    if settings.site_name != reports_to or secret is None:
        told = f"{settings.source} reports to {settings.site_name if secret else 'no site'}"
        raise InputError(f"{told}, {fleet.source} says {reports_to}", "give both the same site name")
    return Holder(
        robot, place, spec, bucket, _file(secret), _where(secret), f"--robot {robot}", settings.relay,
        lambda: relay_secret(settings.place().current_token()),
    )  # fmt: skip


def site_holder(fleet: FleetSettings, site: str, rights: TokenSpec) -> Holder:
    """Return a site as the holder of its token at the next one; `rights` are those that provisioning gives it."""
    here, ahead = fleet.site_place(site), fleet.next_place(site)
    if ahead is None:
        raise InputError(f"{site} passes nothing on: it has no token at another site", "name a robot: --robot R")
    secret = fleet.site[site].next_token
    if secret is None:
        step = f"add `next_token` under [site.{site}] in {fleet.source}; `fleetbox site provision` makes it"
        raise InputError(f"{site} writes to {ahead.name} with that site's own token, which is not rotated here", step)
    bucket = rights.read[0].removesuffix("--*") + "--meta" if rights.read else ""
    return Holder(
        site, fleet.site_place(ahead.name), rights, bucket, _file(secret), _where(secret), f"--site {site}", here.relay,
        lambda: relay_secret(here.current_token()),
    )  # fmt: skip


def _settings_of(fleet: FleetSettings, robot: str, config: Path | None) -> RobotSettings | None:
    if config is not None:
        settings = load_robot(config)
        if settings.robot != robot:
            raise InputError(f"{config} is that of {settings.robot}, not of {robot}")
        return settings
    beside = fleet.source.parent / robot / "robot.toml"
    if beside.is_file():
        return load_robot(beside)
    try:
        own = load_robot(ROBOT_FILE)
    except FleetboxError:
        return None  # this machine is no robot
    return own if own.robot == robot else None


def _file(secret: Secret) -> Path | None:
    """Return the file itself, not a link to it, so that replacing it leaves the link alone."""
    return secret.file.resolve() if secret.file else None


def _where(secret: Secret) -> str:
    return str(_file(secret) or f"the environment variable {secret.env}")
