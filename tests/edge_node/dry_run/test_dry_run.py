"""A policy is tried on a real store: the labelled shift, from the command line, and on a robot that recorded itself."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError, NotFound
from fleetbox.events import write_event
from fleetbox.naming import CLASSES
from fleetbox.records import Draft
from fleetbox.settings import Place, load_policy
from fleetbox_edge.dry_run import Asked, DryRun, dry_run
from fleetbox_edge.dry_run.run import next_slice_us
from fleetbox_edge.dry_run.source import Source
from fleetbox_edge.dry_run.verb import DryRunOrder, asked_of
from fleetbox_edge.policy_verbs import linted
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.simulate.shift import Camera, Shift, drafts, load_shift, marks

from ..conftest import Robot

SCENARIOS = Path(__file__).parents[3] / "bench" / "scenarios"
START_US = 1_700_000_000_000_000
SECONDS = 1_000  # of the scenario's hour
CAMERA = Camera(hz=1.0, frame=bytes(20_000))  # slower than life: what is judged and weighed is the same


async def fill(store: Store, shift: Shift) -> None:
    """Write a shift and its marks into an empty store."""
    for cls in CLASSES:
        await store.ensure_bucket(cls, BucketSpec("NONE", 0))
    waiting: dict[str, list[Draft]] = {}
    for cls, draft in drafts(shift, START_US, "r1", CAMERA):
        waiting.setdefault(cls, []).append(draft)
    for cls, batch in waiting.items():
        assert not (await store.write(cls, batch)).refused
    for event in marks(shift, START_US, "r1"):
        if event.time_us < START_US + shift.seconds * 1_000_000:
            await write_event(store, "meta", event, event.time_us)


def fleetbox(robot: Robot, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as this robot."""
    env = {**os.environ, "FLEETBOX_FLEET": str(robot.file)}
    return subprocess.run(
        [sys.executable, "-m", "fleetbox", *words], capture_output=True, text=True, env=env, timeout=120
    )


def test_the_labelled_shift(new_store_server: Any) -> None:
    """A policy that sends a twentieth of a shift meets every moment a person marked, and none that only looks alike."""
    server = new_store_server()
    shift = replace(load_shift(SCENARIOS / "shift.toml"), seconds=SECONDS)
    policy = load_policy(SCENARIOS / "policy.toml")
    shares: list[float] = []

    async def tried() -> DryRun:
        place = Place("r1", "robot", server.url, server.token)
        async with Store.at(place) as store:
            await fill(store, shift)
            asked = Asked(START_US, START_US + shift.seconds * 1_000_000)
            source = await Source.open(store, place, "r1")
            return await dry_run(source, policy, asked, lambda share, _text: shares.append(share))

    done = asyncio.run(tried())
    assert len(done.marks) == sum(at < SECONDS for times in shift.moments.values() for at in times) == 3
    assert (done.recall, done.missed, done.unmarked) == (1.0, [], 0)
    assert done.reduction is not None
    assert done.reduction >= 0.94  # of a quarter of an hour; bench/policy_value.py has the whole: 0.96
    assert sum(one.recorded_bytes for one in done.streams.values()) == done.recorded_bytes
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_busy_robot_is_read_in_short_slices() -> None:
    """However many rows a minute holds, few of them are in memory at a time; a calm robot is read in minutes again."""
    slice_us = 60_000_000
    for _ in range(10):
        rows = slice_us // 100  # ten kilohertz of rows
        slice_us = next_slice_us(slice_us, rows)
    assert slice_us // 100 <= 50_000
    for _ in range(10):
        slice_us = next_slice_us(slice_us, 10)
    assert slice_us == 60_000_000


def test_a_policy_that_misses_says_what(new_store_server: Any) -> None:
    """Without its triggers a policy sends less and names each marked moment that it would have missed."""
    server = new_store_server()
    shift = replace(load_shift(SCENARIOS / "shift.toml"), seconds=700)
    policy = load_policy(SCENARIOS / "policy.toml")
    blind = policy.model_copy(update={"trigger": {"hard_brake": policy.trigger["hard_brake"]}})

    async def tried(against: tuple[str, ...]) -> DryRun:
        place = Place("r1", "robot", server.url, server.token)
        async with Store.at(place) as store:
            if not await store.buckets():
                await fill(store, shift)
            asked = Asked(START_US, START_US + shift.seconds * 1_000_000, against)
            return await dry_run(await Source.open(store, place, "r1"), blind, asked)

    done = asyncio.run(tried(()))
    assert [event.kind for event in done.missed] == ["gripper_fault"]
    assert done.recall == 0.5
    assert any(line.startswith("missed") and "gripper_fault" in line for line in done.lines())
    assert asyncio.run(tried(("hard_*",))).recall == 1.0


def test_the_command_line_on_a_robots_own_ring(robot: Robot) -> None:
    """lint, plan, dry-run and why answer about what a robot has recorded, for people and as JSON."""
    now_us = time.time_ns() // 1000
    policy = robot.folder / "new.toml"
    policy.write_text(
        'version = 2\n[event.default]\npre = "5s"\npost = "5s"\n[trigger.brake]\non = "imu"\nwhen = "ax < -4.0"\n'
    )
    with Recorder(robot.file) as recorder:
        for number in range(600):
            ax = -6.0 if number == 300 else 0.0
            recorder.log("imu", {"ax": ax}, time=now_us - 60_000_000 + number * 100_000)
        recorder.log("log/app", "started", time=now_us - 30_000_000)
        recorder.flush(60)
        at = str(now_us - 30_000_000)
        marked = fleetbox(robot, "mark", "bump", "--at", at, "--pre", "1s", "--post", "1s", "--wait")
        assert marked.returncode == 0, marked.stderr
    lint = json.loads(fleetbox(robot, "policy", "lint", str(policy), "--robot", robot.id, "--json").stdout)
    assert (lint["errors"], lint["findings"]) == (0, [])
    plan = json.loads(fleetbox(robot, "policy", "plan", str(policy), "--robot", robot.id, "--json").stdout)
    assert {row["stream"]: row["ships"] for row in plan["streams"]}["imu"] == "with an event"
    done = fleetbox(robot, "policy", "dry-run", str(policy), "--robot", robot.id, "--last", "10m", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [event["kind"] for event in answer["events"]] == ["brake"]
    assert answer["own_store"]
    assert (answer["marks"], answer["recall"]) == (1, 1.0)
    assert 0 < answer["selected_bytes"] < answer["recorded_bytes"]
    said = fleetbox(robot, "policy", "dry-run", str(policy), "--robot", robot.id, "--last", "10m").stdout
    assert "recall   1 of 1 marked moments" in said
    early = str(now_us - 35_000_000)  # an absolute one: each of these programs may take seconds to start
    kept = json.loads(fleetbox(robot, "policy", "why", f"{robot.id}/imu", "--at", early, "--json").stdout)
    assert isinstance(kept["kept"], bool)


def test_why_a_record_was_kept(robot: Robot) -> None:
    """A record's labels lead to the policy by its hash, to the rule, and to the events that cover it."""
    robot.write(policy='version = 4\n[stream.health]\nship = "always"\n')
    at_us = time.time_ns() // 1000 - 20_000_000
    with Recorder(robot.file) as recorder:
        recorder.log("health", {"cpu": 1.0}, time=at_us)
        recorder.log("log/app", "near", time=at_us)
        recorder.log("log/app", "far", time=at_us - 300_000_000)
        recorder.flush(60)
        assert fleetbox(robot, "mark", "bump", "--at", f"{at_us}", "--wait").returncode == 0
    by_rule = json.loads(fleetbox(robot, "policy", "why", f"{robot.id}/health", "--at", str(at_us), "--json").stdout)
    assert (by_rule["kept"], by_rule["policy"]["version"], by_rule["rule"]) == (True, 4, "health")
    assert "rule 'health' ships it always" in by_rule["because"]
    by_event = fleetbox(robot, "policy", "why", f"{robot.id}/log/app", "--at", str(at_us))
    assert "because  event bump-" in by_event.stdout, by_event.stdout + by_event.stderr
    assert "kept = 1" in by_event.stdout
    far = fleetbox(robot, "policy", "why", f"{robot.id}/log/app", "--at", str(at_us - 300_000_000))
    assert "not kept" in far.stdout
    assert "no event covers it" in far.stdout


def test_faults_of_the_command_line(robot: Robot, tmp_path: Path) -> None:
    """A file that is no policy and errors of a lint are exit 1; a robot that recorded nothing explains itself."""
    broken, never = tmp_path / "broken.toml", tmp_path / "never.toml"
    broken.write_text('[stream.imu]\nship = "sometimes"\n')
    never.write_text('[trigger.t]\non = "imu"\nwhen = "ax > 3.0 && ax < 2.0"\n')
    assert [finding.key for finding in linted(broken, None, robot.file).findings] == ["stream.imu.ship"]
    done = fleetbox(robot, "policy", "lint", str(never))
    assert done.returncode == 1
    assert "can never match" in done.stdout
    done = fleetbox(robot, "policy", "dry-run", str(never), "--robot", robot.id)
    assert done.returncode == 1
    assert "holds no records" in done.stderr
    with pytest.raises(NotFound, match="r-nobody"):
        linted(never, "r-nobody", robot.file)


def test_which_window_is_asked_for() -> None:
    """Without a word it is the last 24 hours; --start and --last exclude each other, and it ends after it begins."""
    order = DryRunOrder(Path("p"), "r1")
    now_us = START_US
    assert asked_of(order, now_us) == Asked(now_us - 86_400_000_000, now_us)
    asked = asked_of(replace(order, start="-2h", stop="-1h", against=("a,b", "c")), now_us)
    assert (now_us - asked.start_us, now_us - asked.stop_us) == (7_200_000_000, 3_600_000_000)
    assert asked.against == ("a", "b", "c")
    for wrong in (replace(order, start="-1h", last="1h"), replace(order, start="now", stop="-1h")):
        with pytest.raises(InputError):
            asked_of(wrong, now_us)


def test_a_site_has_only_what_travelled(new_store_server: Any) -> None:
    """Where the robot's own store is out of reach, its buckets at a site are read, and the answer says so."""
    server = new_store_server()
    shift, policy = replace(load_shift(SCENARIOS / "shift.toml"), seconds=20), load_policy(SCENARIOS / "policy.toml")

    async def tried() -> DryRun:
        place = Place("edge", "edge", server.url, server.token)
        async with Store.at(place) as store:
            await store.ensure_bucket("r1--sensor", BucketSpec("NONE", 0))
            numbers = [draft for cls, draft in drafts(shift, START_US, "r1", CAMERA) if cls == "sensor"]
            await store.write("r1--sensor", numbers)
            asked = Asked(START_US, START_US + shift.seconds * 1_000_000)
            return await dry_run(await Source.open(store, place, "r1"), policy, asked)

    done = asyncio.run(tried())
    assert (done.place, done.own, done.events, done.marks, done.recall) == ("edge", False, (), (), None)
    said = "\n".join(done.lines())
    assert "edge holds only what travelled of r1" in said
    assert "camera_gap left out" in said
