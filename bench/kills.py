"""Kill the recording program and its store with SIGKILL at random moments under load, and count what is missing."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xxhash

from fleetbox import chunks
from fleetbox.blobs import Store
from fleetbox.ledger import read_ledger
from fleetbox_edge.numbers import Numbers
from fleetbox_edge.recorder import Recorder
from fleetbox_local.processes import StoreProcess

KILLS = int(os.environ.get("FLEETBOX_KILLS", "20"))  # 300 in `make soak`: about seven minutes
LIFE_S = (0.2, 1.2)  # how long a program lives: kills meet starts, replays, batches on the wire and idle moments
LAST_S = 900.0  # for the last replay: half-written records heal once they are a minute old
ROBOT = "r1"
FRAME_EVERY = 50  # rows per frame of 4 kB
GOAL = "0"

# Logs rows and frames as fast as it can; says what was logged, and what a flush has proven to be in the store.
CHILD = """
import sys, threading, time
from fleetbox_edge.recorder import Recorder
life = int(sys.argv[2])
recorder = Recorder(sys.argv[1], duties=False)
number = -1
def prove():  # as flush does, but without waiting for what earlier lives left half-written
    session = recorder._session
    while True:
        upto = number
        session.seal_all()
        last = session.outbox.last_number
        while True:
            time.sleep(0.01)
            with session.lock:
                left = [p for p in session.outbox.outstanding(last) if p.address.session == session.id]
            if not left:
                break
        sys.stdout.write(f"A {upto}\\n")
        sys.stdout.flush()
threading.Thread(target=prove, daemon=True).start()
while True:
    following = number + 1
    recorder.log("imu", {"life": life, "n": following, "x": following / 7})
    if following % 50 == 0:
        recorder.log("cam/front", b"\\xff\\xd8\\xff" + life.to_bytes(4) + following.to_bytes(8) * 500)
    number = following
    sys.stdout.write(f"L {number}\\n")
    sys.stdout.flush()
"""


@dataclass(slots=True)
class Life:
    """Hold the last number that one program has logged, and the last that it knew to be in the store."""

    logged: int = -1
    acknowledged: int = -1


@dataclass(slots=True)
class Found:
    """Hold the numbers of each life that can be read in the end, rows and frames, and what else was met."""

    rows: dict[int, set[int]] = field(default_factory=dict)
    frames: dict[int, set[int]] = field(default_factory=dict)
    wrong: int = 0  # records whose bytes are not those of their hash
    unnamed: int = 0  # numbers of a session that neither a record nor a drop accounts for

    def lost(self, lives: list[Life], upto: Callable[[Life], int]) -> int:
        """Count rows and frames up to a number of each life that are not there."""
        missing = 0
        for life, told in enumerate(lives):
            wanted = range(upto(told) + 1)
            missing += len(set(wanted) - self.rows.get(life, set()))
            missing += len(set(wanted[::FRAME_EVERY]) - self.frames.get(life, set()))
        return missing


def run() -> list[dict[str, Any]]:
    """Kill again and again, replay, read everything back and return the rows."""
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        folder = Path(name)
        server = StoreProcess(folder / "data")
        server.start()
        server.wait_ready(30)
        try:
            return _measure(folder, server)
        finally:
            server.kill()


def _measure(folder: Path, server: StoreProcess) -> list[dict[str, Any]]:
    config = _config(folder, server)
    lives, stores = _kill_again_and_again(config, server)
    started = time.monotonic()
    with Recorder(config, duties=False) as recorder:
        recorder.flush(LAST_S)
        drops = sum(recorder.stats().drops.values())
    replay_s = time.monotonic() - started
    found = asyncio.run(_read_back(server))
    rows = sum(life.logged + 1 for life in lives)
    proven = sum(life.acknowledged + 1 for life in lives)
    what = f"over {KILLS} kill -9, {stores} of them of the store"
    return [
        _row(f"rows logged {what}", rows, "rows", "-"),
        _row(
            "rows and frames lost for which log() had returned", found.lost(lives, lambda life: life.logged), "", GOAL
        ),
        _row(f"acknowledged ones lost, of {proven} rows", found.lost(lives, lambda life: life.acknowledged), "", GOAL),
        _row("records with wrong bytes", found.wrong, "", GOAL),
        _row("numbers neither there nor named as dropped", found.unnamed, "", GOAL),
        _row("drops", drops, "", GOAL),
        _row("last replay, healing included", replay_s, "s", "-"),
    ]


def _row(name: str, value: float, unit: str, goal: str) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "goal": goal}


def _config(folder: Path, server: StoreProcess) -> Path:
    (folder / "token").write_text(server.token)
    file = folder / "robot.toml"
    file.write_text(
        f'robot = "{ROBOT}"\nstore = "{server.url}"\nstore_token = {{ file = "token" }}\nstate = "state"\n'
        'ring = { leave_free = "0 B" }\n'
    )
    return file


def _kill_again_and_again(config: Path, server: StoreProcess) -> tuple[list[Life], int]:
    """Kill the program, the store, or both at once; return what each life said and how often the store died."""
    lives: list[Life] = []
    stores = kills = 0
    while kills < KILLS:
        life = Life()
        lives.append(life)
        command = [sys.executable, "-c", CHILD, str(config), str(len(lives) - 1)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            reader = threading.Thread(target=_listen, args=(child, life))
            reader.start()
            while child.poll() is None:
                time.sleep(random.uniform(*LIFE_S))
                victim = random.choice(("program", "program", "store", "both")) if kills + 1 < KILLS else "program"
                kills += 1 if victim != "both" else 2
                if victim != "program":
                    server.kill()
                    stores += 1
                if victim != "store":
                    child.kill()
                    child.wait()
                if victim != "program":
                    server.start()
                    server.wait_ready(60)
            reader.join()
    return lives, stores


def _listen(child: subprocess.Popen[str], life: Life) -> None:
    assert child.stdout is not None
    for line in child.stdout:
        if not line.endswith("\n"):
            return
        kind, number = line.split()
        if kind == "L":
            life.logged = int(number)
        else:
            life.acknowledged = int(number)


async def _read_back(server: StoreProcess) -> Found:
    found = Found()
    sessions: dict[tuple[str, str], Numbers] = {}
    async with Store(server.url, server.token) as store:
        for bucket in ("sensor", "media"):
            async for record in store.query(bucket, start_us=0):
                found.wrong += xxhash.xxh3_64_hexdigest(record.data) != record.labels["xxh"]
                first = int(record.labels["seq"])
                numbers = sessions.setdefault((record.entry, record.labels["session"]), Numbers())
                numbers.add(first, first + max(1, int(record.labels.get("rows", "0"))))
                if bucket == "sensor":
                    for row in chunks.rows(record.data):
                        found.rows.setdefault(row["life"], set()).add(row["n"])
                else:
                    life, number = int.from_bytes(record.data[3:7]), int.from_bytes(record.data[7:15])
                    found.frames.setdefault(life, set()).add(number)
        for drop in (await read_ledger(store, "meta", ROBOT)).drops:
            sessions.setdefault((drop.stream, drop.session), Numbers()).add(drop.first, drop.first + drop.rows)
    found.unnamed = sum(Numbers((0, numbers.end)).without(numbers).count for numbers in sessions.values())
    return found


if __name__ == "__main__":
    for row in run():
        print(row)
