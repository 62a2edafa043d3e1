"""The policy as a whole: rules for streams, events, triggers and hops, and what they may cost."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import xxhash
from pydantic import Field, field_validator

from fleetbox.errors import Fault, SettingsError
from fleetbox.measurements import HEALTH_GLOB, HEALTH_STREAMS
from fleetbox.naming import PREVIEW, SMALL, THUMBNAIL, parent_of
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings.files import read_toml, validate
from fleetbox.settings.policy.budgets import Budget, Idle
from fleetbox.settings.policy.events import EventRule
from fleetbox.settings.policy.streams import Expect, Small, StreamRule
from fleetbox.settings.policy.triggers import TriggerRule
from fleetbox.settings.uplink import Uplink
from fleetbox.settings.values import Table


class HopRule(Table):
    """Say what a site does not pass on to the site this rule is named after."""

    skip: tuple[str, ...] = ()


class Policy(Table):
    """Decide per stream and event what is kept and shipped; the first matching stream glob wins."""

    version: int = Field(default=1, ge=1)
    name: str = "default"
    expires: datetime | None = None  # from then on nothing of it holds, and a robot returns to its own file
    stream: dict[str, StreamRule] = Field(default_factory=dict)
    event: dict[str, EventRule] = Field(default_factory=dict)
    trigger: dict[str, TriggerRule] = Field(default_factory=dict)
    hop: dict[str, HopRule] = Field(default_factory=dict)
    uplink: Uplink | None = None  # None: as robot.toml says
    budget: Budget = Budget()
    idle: Idle = Idle()

    @field_validator("expires", mode="after")
    @classmethod
    def _has_a_zone(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("say in which time zone: 2027-01-31T00:00:00Z")
        return value.astimezone(UTC) if value else None

    @property
    def hash(self) -> str:
        """Return 8 hex digits that name exactly this policy: the `policy` label of what it kept."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return xxhash.xxh3_64_hexdigest(text.encode())[:8]

    @property
    def expires_us(self) -> int | None:
        """Return when it ends in µs, None for never."""
        return None if self.expires is None else round(self.expires.timestamp() * 1_000_000)

    def rule_for(self, stream: str) -> StreamRule:
        """Return the rule of a stream; that of small frames follows from their parent's.

        A parent that never travels has no small frames that do.
        """
        parent, kind = parent_of(stream)
        if kind not in SMALL:
            return self._match(parent) if kind else self._match(stream)
        rule = self._match(parent)
        small = small_of(rule, kind)
        if small is None:
            return self._match(stream)
        return StreamRule(ship="never" if rule.ship == "never" else small.ship, to=small.to)

    def expected_by_name(self) -> dict[str, Expect]:
        """Return what is expected of the streams named one by one: those that must exist.

        One that circles in memory leaves nothing in a store until an event asks: its absence there tells nothing.
        """
        named = {name: rule for name, rule in self.stream.items() if not is_glob(name)}
        return {name: rule.expect for name, rule in named.items() if rule.expect and rule.ring is None}

    def event_rule(self, kind: str) -> EventRule:
        """Return the rule of an event kind, else the one named `default`, else the built-in one."""
        return self.event.get(kind) or self.event.get("default") or EventRule()

    def hop_rule(self, site: str) -> HopRule:
        """Return what is not passed on to a site."""
        return self.hop.get(site) or HopRule()

    def _match(self, stream: str) -> StreamRule:
        if stream in HEALTH_STREAMS:  # `ship = "never"` for `**` must not make a robot look dead
            rules = ((glob, rule) for glob, rule in self.stream.items() if glob.startswith(HEALTH_GLOB))
            return next((rule for glob, rule in rules if matches_glob(glob, stream)), StreamRule(ship="always"))
        return next((rule for glob, rule in self.stream.items() if matches_glob(glob, stream)), StreamRule())


def small_of(rule: StreamRule, kind: str) -> Small | None:
    """Return what a rule says of the small frames called `preview` or `thumbnail`."""
    return {PREVIEW: rule.preview, THUMBNAIL: rule.thumbnail}[kind]


def load_policy(path: Path) -> Policy:
    """Read policy.toml; raise SettingsError with every fault."""
    policy, faults = validate(Policy, read_toml(path), path)
    if policy is None:
        raise SettingsError(faults, "see `fleetbox config sample policy`")
    return policy


def parse_policy(text: str, source: str = "policy") -> Policy:
    """Return the policy that a text holds; raise SettingsError with every fault, which name `source`."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([Fault(source, "line", "", str(error))], "see `fleetbox config sample policy`") from None
    policy, faults = validate(Policy, tables, Path(source))
    if policy is None:
        raise SettingsError(faults, "see `fleetbox config sample policy`")
    return policy
