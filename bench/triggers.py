"""Triggers: what a rule costs, what taps cost log(), and the time from a cause to the label on what led to it."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fleetbox.blobs import Store
from fleetbox.settings import parse_policy
from fleetbox_edge.recorder import Recorder
from fleetbox_edge.triggers import Judge, compile_rules
from fleetbox_local.processes import StoreProcess

RULES = 256
RECORDS = 2_000
ROW = {f"f{index}": index * 0.1 for index in range(12)}
TEXT = "[INFO] nav: reached waypoint 17 after 12.4 s"
LOG_SAMPLES = 200_000
ROUNDS = 5  # the machine is shared: the median round counts
CAUSES = 12
LEAD_ROWS = 30  # at 100 Hz before each cause
POLL_S = 0.002
PATIENCE_S = 30.0
READY_S = 30.0


def run() -> list[dict[str, Any]]:
    """Measure and return the rows."""
    rows = _costs()
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as name:
        folder = Path(name)
        server = StoreProcess(folder / "data")
        server.start()
        server.wait_ready(READY_S)
        try:
            return [*rows, *_taps(folder, server), *_latency(folder, server)]
        finally:
            server.kill()


def _row(name: str, value: float, unit: str, goal: str = "", raw: float | None = None) -> dict[str, Any]:
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": value / raw if raw else None, "goal": goal}


# -- what a rule costs ---------------------------------------------------------------------------------------------


def _costs() -> list[dict[str, Any]]:
    cases = {
        "a threshold": ("when = 'f1 < -4.{n}'", {}),
        "three conditions": ("when = 'f1 < -4.{n} || (f2 > 9.0 && f3 < 0.{n})'", {}),
        "a rate": ("when = 'rate.f1 < -4.{n}'", {}),
        "a fence (circle on earth)": ("fence = {{ circle = [48.{n}, 11.0, 30.0], fields = ['f1', 'f2'] }}", {}),
        "a log pattern": ("when = 'text.contains(\"lost {n}\")'", {"text": TEXT}),
        "an expression that raises": ("when = 'missing < {n}.0'", {}),
    }
    rows = [
        _row(f"a rule on a record, {RULES} rules, {name}", _per_rule(body, more), "us", "<= 5")
        for name, (body, more) in cases.items()
    ]
    spread = "".join(f"[trigger.t{n}]\non = 's{n % 64}'\nwhen = 'f1 < -4.{n}'\n" for n in range(RULES))
    return [
        *rows,
        _row(f"a record, {RULES} rules over 64 streams, 4 of them on its own", _per_record(spread, "s1", {}), "us"),
    ]


def _per_rule(body: str, more: dict[str, Any]) -> float:
    text = "".join(f"[trigger.t{n}]\non = 'imu'\n{body.format(n=n)}\n" for n in range(RULES))
    return _per_record(text, "imu", more) / RULES


def _per_record(text: str, stream: str, more: dict[str, Any]) -> float:
    """Return µs a record takes, judged and ticked as the agent does."""
    judge = Judge(compile_rules(parse_policy(text)))
    row = None if more else ROW

    def measure() -> float:
        started = time.perf_counter()
        for number in range(RECORDS):
            judge.row(stream, number * 10_000, row, None, **more)
        return (time.perf_counter() - started) / RECORDS * 1e6

    return _median(measure)


def _median(measure: Callable[[], float]) -> float:
    return statistics.median(measure() for _ in range(ROUNDS))


# -- what taps cost log() ------------------------------------------------------------------------------------------


def _taps(folder: Path, server: StoreProcess) -> list[dict[str, Any]]:
    """Measure rows a second that log() takes, until readable: streams without rules must not suffer."""
    rule = "[trigger.t{n}]\non = '{on}'\nwhen = 'f1 < -4.{n}'\n"
    cases = {
        "without rules": "",
        f"its stream has no rule, another has {RULES}": "".join(rule.format(n=n, on="gps") for n in range(RULES)),
        "its stream has 1 rule": rule.format(n=0, on="imu"),
        "its stream has 16 rules": "".join(rule.format(n=n, on="imu") for n in range(16)),
    }
    configs = {name: _config(folder / f"tap{at}", server, text) for at, (name, text) in enumerate(cases.items())}
    took: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):  # in turns: whatever else the machine does meets all alike
        for name, config in configs.items():
            took[name].append(_log(config))
    plain = statistics.median(took["without rules"])
    goals = {name: ">= 0.95x" for name in cases if "no rule" in name}
    return [
        _row(f"log() until readable, {name}", statistics.median(rates), "rows/s", goals.get(name, ""), plain)
        for name, rates in took.items()
    ]


def _log(config: Path) -> float:
    with Recorder(config, duties=False) as recorder:
        recorder.log("imu", ROW)
        recorder.flush(60)
        started = time.perf_counter()
        for _ in range(LOG_SAMPLES):
            recorder.log("imu", ROW)
        recorder.flush(120)
        return LOG_SAMPLES / (time.perf_counter() - started)


# -- from a cause to the label -------------------------------------------------------------------------------------


def _latency(folder: Path, server: StoreProcess) -> list[dict[str, Any]]:
    policy = (
        "[trigger.cause]\non = 'imu'\nwhen = 'f0 > 0.5'\ncooldown = '0s'\nper_hour = 10000\n"
        "[event.cause]\npre = '2s'\npost = '0s'\nstreams = ['imu']\n"
    )
    took = sorted(asyncio.run(_causes(_config(folder / "latency", server, policy), server)))
    name = "from the cause's log() to the label on the last record before it"
    return [
        _row(f"{name}, median of {CAUSES}", statistics.median(took) * 1000, "ms", "<= 1 000"),
        _row(f"{name}, worst", took[-1] * 1000, "ms"),
    ]


async def _causes(config: Path, server: StoreProcess) -> list[float]:
    took = []
    with Recorder(config) as recorder:
        async with Store(server.url, server.token) as store:
            await asyncio.to_thread(_until_judging, recorder)
            for _ in range(CAUSES):
                await asyncio.to_thread(_lead, recorder)
                started, cause_us = time.perf_counter(), time.time_ns() // 1000
                recorder.log("imu", {**ROW, "f0": 1.0})
                await _labelled(store, cause_us)
                took.append(time.perf_counter() - started)
    return took


def _until_judging(recorder: Recorder) -> None:
    until = time.monotonic() + PATIENCE_S
    while recorder._running.triggers.judge_now is None and time.monotonic() < until:
        time.sleep(POLL_S)


def _lead(recorder: Recorder) -> None:
    for _ in range(LEAD_ROWS):
        recorder.log("imu", ROW)
        time.sleep(0.01)


async def _labelled(store: Store, cause_us: int) -> None:
    """Wait until the chunk in which the cause stands, with the rows before it, has its label."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        heads = [head async for head in store.query("sensor", ("imu",), start_us=cause_us - 10_000_000, head=True)]
        spans = [(head.time_us, int(head.labels.get("t_end", head.time_us)), head.labels) for head in heads]
        holding = [labels for start, end, labels in spans if start <= cause_us + 1_000 and end >= cause_us - 1_000]
        if holding and "keep" in holding[-1]:
            return
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"no label within {PATIENCE_S:g} s")


def _config(folder: Path, server: StoreProcess, policy: str) -> Path:
    folder.mkdir()
    (folder / "token").write_text(server.token)
    (folder / "policy.toml").write_text(policy)
    file = folder / "robot.toml"
    file.write_text(
        f'robot = "r1"\nstore = "{server.url}"\nstore_token = {{ file = "token" }}\nstate = "state"\n'
        'policy = "policy.toml"\n'
    )
    return file
