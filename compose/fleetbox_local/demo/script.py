"""The order of the acts: fleet, record, moment, ask, table, fault, books."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from fleetbox.cli.output import emit
from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.settings import load_fleet
from fleetbox_local.demo import ask, books, fault, moment, record, table
from fleetbox_local.demo.stage import HERO, ROBOTS, SHORTEST_S, Stage, write_policy
from fleetbox_local.fleet import LocalFleet


def run(directory: Path, seconds: float, as_json: bool, influx: bool | None) -> int:
    """Play the demo in a folder and return the exit code; nothing keeps running, the data stays.

    Raises InputError for a recording too short to have a "before", and whatever keeps an act from its end.
    """
    if seconds < SHORTEST_S:
        raise InputError(
            f"--seconds {seconds:g} is too short to show a before and an after", f"use {SHORTEST_S:g} or more"
        )
    started, began_us = time.monotonic(), time.time_ns() // 1000
    write_policy(directory)
    with LocalFleet(directory, list(ROBOTS), influx=influx) as local:
        stage = Stage(directory, load_fleet(directory / "fleet.toml"), seconds, quiet=as_json)
        stage.facts["version"] = local.version
        route = f"{', '.join(ROBOTS)} -> edge -> cloud"
        stage.say(f"fleet     {route} on real ReductStore {local.version}, up in {_since(started)}")
        ask.run(stage, asyncio.run(_play(stage)))
        asyncio.run(table.report(stage))
        fault.report(stage)
        asyncio.run(books.report(stage, began_us))
    stage.facts |= {"seconds": round(time.monotonic() - started, 1), "directory": str(directory)}
    if as_json:
        emit(stage.facts)
    else:
        _farewell(stage, _since(started))
    return 0


async def _play(stage: Stage) -> Event:
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
