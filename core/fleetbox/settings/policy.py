"""The policy: the one file a person writes about what is kept and what is shipped."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import xxhash
from pydantic import BeforeValidator, Field

from fleetbox.errors import SettingsError
from fleetbox.naming import PREVIEW
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings.files import read_toml, validate
from fleetbox.settings.values import DurationUs, Table

Ship = Literal["always", "event", "never"]
Reach = Literal["edge", "cloud"]
MAX_PRE = 300_000_000  # µs; the ring holds hours, but an event should stay a moment
MAX_POST = 120_000_000  # µs


def _size(value: Any) -> tuple[int, int]:
    if isinstance(value, tuple):
        return value
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("write a picture size like '320x180'")
    return int(match[1]), int(match[2])


@dataclass(frozen=True, slots=True)
class Expect:
    """Say how many rows or blobs a second a stream delivers; 0 for one that speaks when something changes."""

    hz: float


def _expect(value: Any) -> Expect | None:
    if value is None or isinstance(value, Expect):
        return value
    if value == "on change":
        return Expect(0.0)
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(k?)Hz", value) if isinstance(value, str) else None
    if match is None or not float(match[1]):
        raise ValueError("write what is expected like '30 Hz', '0.2 Hz' or 'on change'")
    return Expect(float(match[1]) * (1000 if match[2] else 1))


class Preview(Table):
    """Say how small and how often the preview frames of an image stream are; size in pixels."""

    size: Annotated[tuple[int, int], BeforeValidator(_size)] = (320, 180)  # a quarter of 640x360: about 6 kB
    every: DurationUs = 1_000_000  # µs; one a second shows what happened at 1/30 of the frames
    to: Reach = "cloud"  # previews are small enough to go all the way


class StreamRule(Table):
    """Say what travels of the streams a glob matches, and how far."""

    ship: Ship = "event"  # kept on the robot until an event asks for it
    to: Reach = "cloud"  # the last tier it travels to by itself
    preview: Preview | None = None
    expect: Annotated[Expect | None, BeforeValidator(_expect)] = None  # without, a stream may be silent or absent


class EventRule(Table):
    """Say how much around a moment an event keeps, over which streams."""

    pre: DurationUs = Field(default=10_000_000, ge=0, le=MAX_PRE)  # µs; what led to it
    post: DurationUs = Field(default=5_000_000, ge=0, le=MAX_POST)  # µs; what came of it
    streams: tuple[str, ...] = ("**",)


class HopRule(Table):
    """Say what a site does not pass on to the site this rule is named after."""

    skip: tuple[str, ...] = ()


class Policy(Table):
    """Decide per stream and event what is kept and shipped; the first matching stream glob wins."""

    version: int = Field(default=1, ge=1)
    name: str = "default"
    stream: dict[str, StreamRule] = Field(default_factory=dict)
    event: dict[str, EventRule] = Field(default_factory=dict)
    hop: dict[str, HopRule] = Field(default_factory=dict)

    @property
    def hash(self) -> str:
        """Return 8 hex digits that name exactly this policy: the `policy` label of what it kept."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return xxhash.xxh3_64_hexdigest(text.encode())[:8]

    def rule_for(self, stream: str) -> StreamRule:
        """Return the rule of a stream; a preview stream ships always, as far as its parent's rule says."""
        parent, _, last = stream.rpartition("/")
        if last == PREVIEW and parent and (preview := self._match(parent).preview):
            return StreamRule(ship="always", to=preview.to)
        return self._match(stream)

    def expected_by_name(self) -> dict[str, Expect]:
        """Return what is expected of the streams named one by one: those that must exist."""
        return {name: rule.expect for name, rule in self.stream.items() if rule.expect and not is_glob(name)}

    def event_rule(self, kind: str) -> EventRule:
        """Return the rule of an event kind, else the one named `default`, else the built-in one."""
        return self.event.get(kind) or self.event.get("default") or EventRule()

    def hop_rule(self, site: str) -> HopRule:
        """Return what is not passed on to a site."""
        return self.hop.get(site) or HopRule()

    def _match(self, stream: str) -> StreamRule:
        return next((rule for glob, rule in self.stream.items() if matches_glob(glob, stream)), StreamRule())


def load_policy(path: Path) -> Policy:
    """Read policy.toml; raise SettingsError with every fault."""
    policy, faults = validate(Policy, read_toml(path), path)
    if policy is None:
        raise SettingsError(faults, "see `fleetbox config sample policy`")
    return policy
