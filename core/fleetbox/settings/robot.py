"""robot.toml: the same file on every robot of a model."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from fleetbox.errors import Fault, InputError, SettingsError
from fleetbox.naming import check_robot, check_site
from fleetbox.settings.files import expand, machine_variables, read_toml, validate
from fleetbox.settings.places import Place
from fleetbox.settings.policy import Policy, load_policy
from fleetbox.settings.uplink import Uplink
from fleetbox.settings.values import Bytes, DurationUs, FilePath, SecretRef, Table, Url, checked
from fleetbox.signing import check_public
from fleetbox.time import parse_duration

PublicKeyText = Annotated[str, checked(check_public)]
Spooled = Literal["media", "small", "sensor", "log", "meta"]
Fsync = Literal["never", "interval", "always"]

# Page cache is safe from kill -9, and most of the spool never needs the disk: a power cut costs about 30 s of it. Marks
# are few and worth most: a second, at no cost while there are none.
FSYNC: dict[str, str] = {"media": "never", "small": "never", "sensor": "never", "log": "never", "meta": "interval"}

LEAST_HEALTH_US = 1_000_000  # µs; each row costs a chunk


def _per_class(value: Any) -> Any:
    """Return how each class reaches the disk: one word is for all, a table for those it names."""
    if isinstance(value, str):
        return dict.fromkeys(FSYNC, value)
    return {**FSYNC, **value} if isinstance(value, dict) else value


class Ring(Table):
    """Say how much the robot's own store may hold per class, in bytes."""

    sensor: Bytes = 40_000_000_000  # about a week of packed scalars at 60 kB/s
    media: Bytes = 400_000_000_000  # about a day of one 30 fps camera at 5 MB/s
    small: Bytes = 20_000_000_000  # previews of four cameras, a frame a second: more than a day of them
    log: Bytes = 5_000_000_000
    kept: Bytes = 10_000_000_000  # refused beyond, never rotated
    ram: Bytes = 64_000_000  # of one process, for streams that circle in memory: 10 s of a camera at 6 MB/s
    leave_free: Bytes = 1 << 30  # the disk floor, 1 GiB: a robot's own system must go on running


class Spool(Table):
    """Say how the write-ahead spool is bounded and when it reaches the disk, per class.

    never: when the kernel writes it back; interval: every `fsync_every`; always: before `log()` returns.
    """

    max: Bytes = 2_000_000_000  # minutes of a camera, days of scalars, while the store is away
    fsync: Annotated[dict[Spooled, Fsync], BeforeValidator(_per_class)] = Field(default=FSYNC, validate_default=True)
    fsync_every: DurationUs = 1_000_000  # µs, with "interval": the power-cut window


def _health(value: Any) -> int | None:
    """Return µs between two rows of a robot's health, None for none of them."""
    if value is None or value == "off":
        return None
    every_us = value if isinstance(value, int) else 0
    with suppress(InputError):
        every_us = parse_duration(value.replace(" ", "")) if isinstance(value, str) else every_us
    if every_us < LEAST_HEALTH_US:
        raise ValueError("write how often, such as '15 s', at most once a second, or 'off'")
    return every_us


class AgentTable(Table):
    """Say what `fleetbox agent run` does beside its duties; a program's own Recorder does none of it.

    health: µs between two rows of the streams `fleetbox/host` and `fleetbox/agent`, None for no such streams.
    """

    health: Annotated[int | None, BeforeValidator(_health)] = 15_000_000  # µs; four a minute make a curve


class RobotSettings(Table):
    """Hold what the agent on one robot needs to know."""

    source: Path
    robot: Annotated[str, checked(check_robot)]
    store: Url = "http://127.0.0.1:8383"  # the engine's own default port, on the robot itself
    store_token: SecretRef
    store_data: FilePath | None = None  # its folder, to watch its disk; found by itself where the agent may look
    site: Url | None = None  # the engine of the site this robot reports to
    site_name: Annotated[str, checked(check_site)] = "edge"
    site_token: SecretRef | None = None
    relay: Url = "http://127.0.0.1:8384"  # beside the engine's port; only this machine can reach it
    state: FilePath  # spool and locks
    ring: Ring = Ring()
    spool: Spool = Spool()
    uplink: Uplink = Uplink()
    agent: AgentTable = AgentTable()
    chunk: DurationUs = Field(default=5_000_000, ge=100_000, le=60_000_000)  # µs; bench/reading.py chose it
    policy_file: FilePath | None = Field(default=None, alias="policy")
    policy: Policy = Field(default=Policy(), alias="policy_value")
    policy_keys: tuple[PublicKeyText, ...] = ()  # who may send a policy over the air; none: nobody

    def place(self) -> Place:
        """Return the robot's own store as a place."""
        return Place(
            self.robot, "robot", self.store, "", self.relay,
            self.site_name if self.site else None, None, self.quota(), self.store_token,
        )  # fmt: skip

    def site_place(self) -> Place | None:
        """Return the site's store as this robot may use it, or None when it reports to none."""
        if self.site is None or self.site_token is None:
            return None
        return Place(self.site_name, "edge", self.site, "", secret=self.site_token)

    def quota(self) -> dict[str, int]:
        """Return bytes per class."""
        return {cls: getattr(self.ring, cls) for cls in ("sensor", "media", "small", "log", "kept")}


def load_robot(path: Path | str, variables: Mapping[str, str] | None = None) -> RobotSettings:
    """Read robot.toml and the policy it names; raise SettingsError with every fault of both.

    ${hostname} and ${NAME} from the environment are filled in.
    """
    path = Path(path)
    tables = expand(read_toml(path), machine_variables() if variables is None else variables)
    tables.setdefault("state", "state")
    settings, faults = validate(RobotSettings, {**tables, "source": path}, path)
    if settings is not None and settings.site is not None and settings.site_token is None:
        faults = [*faults, Fault(str(path), "site_token", "", "is missing: a site takes nothing without a token")]
    policy = None
    if isinstance(tables.get("policy"), str):
        try:
            policy = load_policy(path.parent / tables["policy"])
        except SettingsError as error:
            faults = [*faults, *error.faults]
    if settings is None or faults:
        raise SettingsError(faults, "see `fleetbox config sample robot`")
    return settings.model_copy(update={"policy": policy}) if policy else settings
