"""The order of the acts: fleet, record, moment, ask, table, fault, books."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from fleetbox.cli.output import emit
from fleetbox.errors import FleetboxError, InputError
from fleetbox.events import Event
from fleetbox.settings import FleetSettings, load_fleet
from fleetbox_local.demo import ask, books, fault, moment, record, table
from fleetbox_local.demo.stage import HERO, KIND, ROBOTS, SHORTEST_S, Stage, write_policy
from fleetbox_local.fleet import LocalFleet

ROUTE = f"{', '.join(ROBOTS)} -> edge -> cloud"


def run(directory: Path, seconds: float, as_json: bool, influx: bool | None) -> int:
    """Play the demo in a folder and return the exit code; nothing keeps running, the data stays.

    Raises InputError for a recording too short to have a "before", and whatever keeps an act from its end.
    """
    _check_length(seconds)
    started, began_us = time.monotonic(), time.time_ns() // 1000
    write_policy(directory)
    with LocalFleet(directory, list(ROBOTS), influx=influx) as local:
        stage = Stage(directory, load_fleet(directory / "fleet.toml"), seconds, quiet=as_json)
        stage.facts["version"] = local.version
        stage.say(f"fleet     {ROUTE} on real ReductStore {local.version}, up in {_since(started)}")
        _acts(stage, began_us)
    _end(stage, started)
    if not as_json:
        _farewell(stage, _since(started))
    return 0


def run_on(fleet_file: Path, seconds: float, as_json: bool) -> int:
    """Play the demo on a fleet that runs already, such as the containers', and leave it running; return the exit code.

    Beside fleet.toml each of the demo's robots has its `ROBOT/robot.toml`; its policy has the demo's trigger. Raises
    InputError when one of these is missing.
    """
    _check_length(seconds)
    started, began_us = time.monotonic(), time.time_ns() // 1000
    directory, fleet = fleet_file.absolute().parent, load_fleet(fleet_file)
    _check_cast(directory, fleet)
    stage = Stage(directory, fleet, seconds, quiet=as_json)
    stage.facts["version"] = asyncio.run(_version(stage))
    stage.say(f"fleet     {ROUTE} on real ReductStore {stage.facts['version']}, found running")
    _acts(stage, began_us)
    _end(stage, started)
    stage.say(f"\n{_since(started)}. The fleet runs on.")
    return 0


def _acts(stage: Stage, began_us: int) -> None:
    ask.run(stage, asyncio.run(_play(stage)))
    asyncio.run(table.report(stage))
    fault.report(stage)
    asyncio.run(books.report(stage, began_us))


def _end(stage: Stage, started: float) -> None:
    stage.facts |= {"seconds": round(time.monotonic() - started, 1), "directory": str(stage.directory)}
    if stage.quiet:
        emit(stage.facts)


def _check_length(seconds: float) -> None:
    if seconds < SHORTEST_S:
        raise InputError(
            f"--seconds {seconds:g} is too short to show a before and an after", f"use {SHORTEST_S:g} or more"
        )


def _check_cast(directory: Path, fleet: FleetSettings) -> None:
    missing = [str(path) for robot in ROBOTS if not (path := directory / robot / "robot.toml").exists()]
    missing += [f"the store of {robot}" for robot in ROBOTS if fleet.robot_place(robot) is None]
    missing += [] if KIND in fleet.policy.trigger else [f"the trigger {KIND!r} in its policy"]
    if missing:
        raise InputError(
            f"the fleet of {fleet.source} cannot play the demo: it lacks {', '.join(missing)}",
            "`fleetbox demo` brings a fleet of its own",
        )


async def _version(stage: Stage) -> str:
    async with stage.store(stage.place("robot")) as store:
        return str((await store.info()).version)


async def _play(stage: Stage) -> Event:
    try:
        return await _side_by_side(stage)
    except ExceptionGroup as several:
        named, _ = several.split(FleetboxError)
        if named is None:
            raise
        raise named.exceptions[0] from several  # one act's reason to stop, said as any other verb says it


async def _side_by_side(stage: Stage) -> Event:
    async with asyncio.TaskGroup() as beside:
        with record.simulators(stage) as children:
            beside.create_task(fault.play(stage))  # the recording takes half a minute anyway
            event = await record.wait_for_brake(stage, children)
            arrival = await moment.follow(stage, event)
            await record.report(stage)
            moment.report(stage, event, arrival)
            await record.finish(stage, children)
        return await moment.wait_labelled(stage, event)


def _farewell(stage: Stage, took: str) -> None:
    folder = stage.directory
    stage.say(
        f"\n{took}. Nothing left running. Data in {folder}\n"
        f"try next  fleetbox up --dir {folder} --detach     # the same fleet, with these data\n"
        f"          export FLEETBOX_FLEET={folder}/fleet.toml\n"
        f"          fleetbox ls {HERO}        fleetbox event ls        fleetbox query {HERO}/imu --limit 5"
    )


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"
