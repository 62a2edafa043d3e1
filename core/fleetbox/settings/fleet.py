"""fleet.toml: places and hops, and where to find the file that says so."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from fleetbox.errors import Fault, InputError, NotFound, SettingsError
from fleetbox.naming import check_robot, check_site
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings.files import expand, machine_variables, read_toml, validate
from fleetbox.settings.places import Influx, Place, Tier
from fleetbox.settings.policy import Policy, load_policy
from fleetbox.settings.robot import RobotSettings, load_robot
from fleetbox.settings.uplink import Uplink
from fleetbox.settings.values import Bytes, DurationUs, FilePath, SecretRef, StreamsRef, Table, Url, checked

ROBOT_FILE = Path("/etc/fleetbox/robot.toml")
HOUR_US = 3_600_000_000  # µs


class RobotRule(Table):
    """Say where the robots that a glob matches report to, and how to reach their own stores."""

    match: str
    site: str | None  # None only where a robot.toml names no site: its records stay on the robot
    store: str | None = None  # the robot's engine as seen from here; ${robot} is filled in
    token: SecretRef | None = None
    relay: str = "http://127.0.0.1:8384"  # as the robot itself sees it
    state: FilePath | None = None  # the agent's own files, where the robot is this machine


def _long_enough(value: int | None) -> int | None:
    if value is not None and value < HOUR_US:
        raise ValueError("InfluxDB keeps points for an hour at least; leave it out to keep what its bucket has")
    return value


class InfluxTable(Table):
    """Say where a site's InfluxDB is."""

    url: Url
    token: SecretRef
    org: str = "fleetbox"
    bucket: str = "fleetbox"
    raw: tuple[StreamsRef, ...] = ()  # streams that it gets row by row too, beside their roll-ups of a second
    retention: Annotated[DurationUs | None, AfterValidator(_long_enough)] = None  # of points; default: its bucket's own


class SiteTable(Table):
    """Say where a site's store is, how much it holds per robot, and where it passes records on to."""

    store: Url
    token: SecretRef
    next: str | None = None
    next_token: SecretRef | None = None  # what this site may use there; default: that site's own token
    tier: Literal["edge", "cloud"] | None = None  # default: edge when records travel on from here
    relay: Url = "http://127.0.0.1:8385"  # where this site's own outgoing relay listens, on the site's machine
    state: FilePath | None = None  # the site process's own files
    quota: dict[str, Bytes] = Field(default_factory=dict)  # bytes per class and robot
    uplink: Uplink = Uplink()  # what may leave for `next`
    influx: InfluxTable | None = None


class FleetSettings(Table):
    """Hold a fleet: its sites, which robots report where, and its policy."""

    source: Path
    fleet: str = "fleet"
    policy_file: FilePath | None = Field(default=None, alias="policy")
    policy: Policy = Field(default=Policy(), alias="policy_value")
    policy_key: SecretRef | None = None  # what signs policies sent over the air; on an operator's machine only
    robots: tuple[RobotRule, ...] = ()
    site: dict[Annotated[str, checked(check_site)], SiteTable] = Field(default_factory=dict)

    @property
    def known_robots(self) -> list[str]:
        """Return the robots named one by one; those behind a glob show up where their records do."""
        return [rule.match for rule in self.robots if not is_glob(rule.match)]

    def policy_edited_us(self) -> int | None:
        """Return when the policy's file was last written, in µs; None where this file names none."""
        if self.policy_file is None:
            return None
        try:
            return (self.source.parent / self.policy_file).stat().st_mtime_ns // 1000
        except OSError:  # it was moved since it was read
            return None

    def rule(self, robot: str) -> RobotRule:
        """Return the first rule that matches a robot; raise NotFound when none does."""
        check_robot(robot)
        for rule in self.robots:
            if matches_glob(rule.match, robot):
                return rule
        known = ", ".join(rule.match for rule in self.robots) or "none"
        raise NotFound(f"robot {robot!r} is not in {self.source}", f"known: {known}; add it under [[robots]]")

    def robot_place(self, robot: str) -> Place | None:
        """Return a robot's own store, or None when this file does not say how to reach it."""
        rule = self.rule(robot)
        if rule.store is None or rule.token is None:
            return None
        url, relay = (expand(text, {"robot": robot}).rstrip("/") for text in (rule.store, rule.relay))
        return Place(robot, "robot", url, "", relay, rule.site, secret=rule.token)

    def site_place(self, name: str) -> Place:
        """Return a site's store; raise NotFound for an unknown site."""
        if (site := self.site.get(name)) is None:
            raise NotFound(f"site {name!r} is not in {self.source}", f"known: {', '.join(self.site) or 'none'}")
        influx = None
        if site.influx:
            table = site.influx
            keeps_s = None if table.retention is None else table.retention // 1_000_000
            influx = Influx(table.url, "", table.org, table.bucket, table.token, table.raw, keeps_s)
        tier: Tier = site.tier or ("edge" if site.next else "cloud")
        return Place(name, tier, site.store, "", site.relay, site.next, influx, site.quota, site.token)

    def next_place(self, name: str) -> Place | None:
        """Return the site that a site passes records on to, with the token it may use there, or None."""
        site = self.site[name]
        if site.next is None:
            return None
        following = self.site_place(site.next)
        return replace(following, secret=site.next_token) if site.next_token else following

    def state_of(self, name: str) -> Path | None:
        """Return the state folder of a site or robot as seen on its own machine, None when this file cannot say."""
        if (site := self.site.get(name)) is not None:
            return site.state or self.source.parent / "state" / name
        try:
            return self.rule(name).state
        except NotFound:
            return None

    def route(self, robot: str) -> list[Place]:
        """Return the places a robot's records pass, its own store first when it can be reached from here."""
        own = self.robot_place(robot)
        return [*([own] if own else []), *self._sites_of(robot)]

    def places(self, tier: Tier | None = None, site: str | None = None) -> list[Place]:
        """Return the stores of a tier or a site, else all that this file can reach: sites first, then robots."""
        if site is not None:
            return [self.site_place(site)]
        sites = [self.site_place(name) for name in self.site]
        robots = [place for robot in self.known_robots if (place := self.robot_place(robot))]
        return [place for place in (*sites, *robots) if tier in (None, place.tier)]

    def robots_of(self, site: str) -> list[str]:
        """Return the known robots whose records pass a site."""
        return [robot for robot in self.known_robots if any(place.name == site for place in self._sites_of(robot))]

    def _sites_of(self, robot: str) -> list[Place]:
        places: list[Place] = []
        name = self.rule(robot).site
        while name is not None:
            places.append(self.site_place(name))
            name = places[-1].next
        return places


def load_fleet(path: Path | str) -> FleetSettings:
    """Read fleet.toml and the policy it names; raise SettingsError with every fault of both.

    ${hostname} and ${NAME} from the environment are filled in; ${robot} stays, it is filled in for each robot.
    """
    path = Path(path)
    tables = expand(read_toml(path), {**machine_variables(), "robot": "${robot}"})
    fleet, faults = validate(FleetSettings, {**tables, "source": path}, path)
    faults += _broken_hops(path, tables)
    faults += _two_retentions(fleet) if fleet else []
    policy = None
    if isinstance(tables.get("policy"), str):
        try:
            policy = load_policy(path.parent / tables["policy"])
        except SettingsError as error:
            faults += error.faults
    if fleet is None or faults:
        raise SettingsError(faults, "see `fleetbox config sample fleet`")
    return fleet.model_copy(update={"policy": policy}) if policy else fleet


def find_fleet(explicit: Path | str | None = None, environ: Mapping[str, str] | None = None) -> FleetSettings:
    """Find where we are: the path given, FLEETBOX_FLEET, ./fleet.toml, then this robot's own file.

    A robot.toml given instead of a fleet.toml makes a fleet of that robot and its site.
    """
    environ = os.environ if environ is None else environ
    for path in (explicit, environ.get("FLEETBOX_FLEET")):
        if path:
            return _load_either(Path(path))
    for path in (Path("fleet.toml"), ROBOT_FILE):
        if path.exists():
            return _load_either(path)
    raise InputError(
        "no fleet is known here: no --fleet, no FLEETBOX_FLEET, no ./fleet.toml, no " + str(ROBOT_FILE),
        "start one with `fleetbox up`, or write one from `fleetbox config sample fleet`",
    )


def fleet_of_robot(robot: RobotSettings) -> FleetSettings:
    """Return the fleet as one robot sees it: itself and, if it reports to one, its site."""
    sites = {}
    if robot.site and robot.site_token:
        sites[robot.site_name] = SiteTable(store=robot.site, token=robot.site_token, tier="edge")
    rule = RobotRule(
        match=robot.robot,
        site=next(iter(sites), None),
        store=robot.store,
        token=robot.store_token,
        relay=robot.relay,
        state=robot.state,
    )
    return FleetSettings(source=robot.source, fleet=robot.robot, robots=(rule,), site=sites, policy_value=robot.policy)


def _load_either(path: Path) -> FleetSettings:
    return fleet_of_robot(load_robot(path)) if "robot" in read_toml(path) else load_fleet(path)


def _broken_hops(path: Path, tables: Mapping[str, object]) -> list[Fault]:
    sites, robots = tables.get("site"), tables.get("robots")
    sites = sites if isinstance(sites, dict) else {}
    following = {name: table.get("next") for name, table in sites.items() if isinstance(table, dict)}
    known = f"no such site; known: {', '.join(sites) or 'none'}"
    faults = [
        Fault(str(path), f"site.{name}.next", repr(target), known)
        for name, target in following.items()
        if target is not None and target not in sites
    ]
    faults += [
        Fault(str(path), f"site.{name}.next", repr(target), "leads back to itself: records would circle for ever")
        for name, target in following.items()
        if target in sites and _circles(name, following)
    ]
    for index, rule in enumerate(robots if isinstance(robots, list) else []):
        if isinstance(rule, dict) and isinstance(rule.get("site"), str) and rule["site"] not in sites:
            faults.append(Fault(str(path), f"robots.{index}.site", repr(rule["site"]), known))
    return faults


def _two_retentions(fleet: FleetSettings) -> list[Fault]:
    first: dict[tuple[str, str, str], tuple[str, int | None]] = {}
    faults = []
    for name, site in fleet.site.items():
        if site.influx is not None:
            table = site.influx
            other, keeps_us = first.setdefault((table.url, table.org, table.bucket), (name, table.retention))
            if table.retention != keeps_us:
                why = f"site {other} says otherwise of the same bucket; say the same at both"
                faults.append(Fault(str(fleet.source), f"site.{name}.influx.retention", repr(table.retention), why))
    return faults


def _circles(start: str, following: Mapping[str, object]) -> bool:
    name, seen = following.get(start), {start}
    while isinstance(name, str) and name in following:
        if name in seen:
            return name == start
        seen.add(name)
        name = following.get(name)
    return False
