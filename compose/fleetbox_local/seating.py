"""Decides which places a local fleet has and on which ports they listen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.naming import check_robot

EDGE, CLOUD, INFLUX = "edge", "cloud", "influx"
TAKEN = (EDGE, CLOUD, INFLUX, "secrets", "run")  # folders of the fleet beside the robots' own
MAX_ROBOTS = 50  # each is a store and an agent: about 100 MB of memory


@dataclass(frozen=True, slots=True)
class Seat:
    """Say where one place listens and where it keeps its files."""

    name: str
    tier: str
    store_port: int
    relay_port: int
    directory: Path

    @property
    def store_url(self) -> str:
        """Return where its store listens."""
        return f"http://127.0.0.1:{self.store_port}"

    @property
    def relay_url(self) -> str:
        """Return where its outgoing relay listens."""
        return f"http://127.0.0.1:{self.relay_port}"


@dataclass(frozen=True, slots=True)
class Seating:
    """Hold all places of a local fleet."""

    directory: Path
    robots: tuple[Seat, ...]
    edge: Seat
    cloud: Seat
    influx_port: int | None

    @property
    def seats(self) -> tuple[Seat, ...]:
        """Return every place, from robot to cloud."""
        return (*self.robots, self.edge, self.cloud)

    @property
    def ports(self) -> dict[str, int]:
        """Return every port by name, to be kept for the next start."""
        ports: dict[str, int] = {}
        for seat in self.seats:
            ports |= {f"{seat.name}.store": seat.store_port, f"{seat.name}.relay": seat.relay_port}
        return ports | ({INFLUX: self.influx_port} if self.influx_port else {})


@dataclass(frozen=True, slots=True)
class Ports:
    """Choose ports: the one used before if it is still free, else any free one."""

    before: Mapping[str, int]
    is_free: Callable[[int], bool]
    any_free: Callable[[], int]

    def choose(self, name: str) -> int:
        """Return a port for `name`."""
        port = self.before.get(name)
        return port if port and self.is_free(port) else self.any_free()


def seat(directory: Path, robots: Sequence[str], influx: bool, ports: Ports) -> Seating:
    """Seat a fleet: its robots, one edge site, one cloud."""

    def place(name: str, tier: str) -> Seat:
        return Seat(name, tier, ports.choose(f"{name}.store"), ports.choose(f"{name}.relay"), directory / name)

    return Seating(
        directory,
        tuple(place(robot, "robot") for robot in robots),
        place(EDGE, "edge"),
        place(CLOUD, "cloud"),
        ports.choose(INFLUX) if influx else None,
    )


def parse_robots(text: str) -> tuple[str, ...]:
    """Return robot ids from "3" (r1, r2, r3) or "r1,forklift-7"; raise InputError naming what is wrong."""
    text = text.strip()
    if text.isdecimal():
        names = tuple(f"r{number}" for number in range(1, int(text) + 1))
    else:
        names = tuple(name.strip() for name in text.split(",") if name.strip())
    return check_robots(names)


def check_robots(names: Sequence[str]) -> tuple[str, ...]:
    """Return the ids if a local fleet can have them; raise InputError otherwise."""
    if not 1 <= len(names) <= MAX_ROBOTS:
        raise InputError(f"a local fleet has 1 to {MAX_ROBOTS} robots, not {len(names)}", "for example --robots 2")
    for name in names:
        check_robot(name)
        if name in TAKEN:
            raise InputError(
                f"a robot of a local fleet cannot be called {name!r}: that folder is the fleet's own",
                "choose another name",
            )
        if names.count(name) > 1:
            raise InputError(f"robot {name!r} is named twice", "name each robot once")
    return tuple(names)
