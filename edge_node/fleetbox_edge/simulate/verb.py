"""Run `fleetbox simulate`: find the robot's settings, simulate, say what was logged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.naming import check_robot
from fleetbox.settings import find_fleet
from fleetbox_edge.simulate.drive import SimulateReport, run
from fleetbox_edge.simulate.streams import Profile


@dataclass(frozen=True, slots=True)
class Drive:
    """Hold what one call of `fleetbox simulate` asks for; times in s."""

    profile: Profile = "small"
    seconds: float | None = 10.0
    seed: int = 0
    brake_at: float | None = None


def command(
    config: Path | None, robot: str | None, fleet_file: Path | None, drive: Drive, as_json: bool = False
) -> int:
    """Simulate a robot into its own store and print the report; return the exit code.

    config: its robot.toml; or robot: a robot of the fleet that `fleetbox up` made, whose robot.toml
    stands in a folder of its name beside fleet.toml.
    """
    from fleetbox.cli import output

    path = config or robot_file(robot, find_fleet(fleet_file).source)
    report = run(path, drive.profile, drive.seconds, drive.seed, drive.brake_at)
    if as_json:
        output.emit({"config": str(path), **report.as_dict()})
    else:
        output.say(summary(report))
    if report.late:
        output.note(f"behind schedule: {report.late:,} samples late, at worst {report.behind_s:g} s; none dropped")
    return 0


def robot_file(robot: str | None, source: Path) -> Path:
    """Return a robot's robot.toml in the local fleet of `source`; raise InputError naming where it was looked for."""
    if robot is None:
        raise InputError("which robot?", "give --robot ID, or --config robot.toml")
    path = source.parent / check_robot(robot) / "robot.toml"
    if path.is_file():
        return path
    others = ", ".join(sorted(found.parent.name for found in source.parent.glob("*/robot.toml"))) or "none"
    raise InputError(f"robot {robot!r} has no settings at {path}; there are: {others}", "give --config robot.toml")


def summary(report: SimulateReport) -> str:
    """Return the report on one line."""
    return (
        f"{report.streams} streams, {report.elapsed_s:.1f} s: {report.rows:,} rows, "
        f"{report.frames:,} frames, {report.lines:,} lines logged"
    )
