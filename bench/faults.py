"""The same faults on the engine's own replication and on fleetbox, in the same run: records lost for good.

Run as `python -m bench.faults [NAME,...]`: prints the table of the README and keeps the rows as JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from fleetbox_local.drill.beside import Account, Beside
from fleetbox_local.drill.catalog import BY_NAME
from fleetbox_local.drill.disks import Unplayable
from fleetbox_local.drill.outcome import Outcome
from fleetbox_local.drill.playing import play
from fleetbox_local.drill.scenario import Scenario
from fleetbox_local.drill.scene import Scene

FAULTS = (
    "quota", "disk-full", "token", "bucket-deleted", "answer-500", "answer-422", "resets", "edge-killed-5",
    "log-deleted", "log-overflow",
)  # fmt: skip
RESULTS = Path(__file__).parent / "results"
TAIL = 100  # numbers written on after a fault, on both ways


def main(names: Sequence[str]) -> int:
    """Play each fault and print its line."""
    rows = []
    print("| same fault | the engine alone | with fleetbox |\n|---|---|---|")
    for name in names or FAULTS:
        row = measure(BY_NAME[name])
        rows.append(row)
        print(_line(row), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"faults-{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(rows, indent=1))
    return 0 if all(row.get("skipped") or not row["fleetbox"]["lost"] for row in rows) else 3


def measure(scenario: Scenario) -> dict[str, Any]:
    """Play one fault in a fresh scene that both ways share; return what each lost."""
    row: dict[str, Any] = {"fault": scenario.name, "does": scenario.does, "ends": scenario.ends}
    with tempfile.TemporaryDirectory(prefix="fleetbox-bench-") as folder:
        try:
            with Scene(Path(folder), scenario.setting) as scene:
                outcome, account = _both(scene, scenario)
        except Unplayable as why:
            return {**row, "skipped": why.message}
    ours = {
        "records": sum(one.selected for one in outcome.differences),
        "lost": sum(len(one.missing) for one in outcome.differences),
        "faults": list(outcome.faults),
        "back_s": outcome.back_s,
    }
    return {**row, "engine_alone": asdict(account), "fleetbox": ours}


def _both(scene: Scene, scenario: Scenario) -> tuple[Outcome, Account]:
    beside = Beside(scene)
    beside.open()

    @contextmanager
    def fault(where: Scene) -> Iterator[None]:
        with beside.writing():
            where.writer.wait_for(TAIL)
            with scenario.fault(where):
                yield
            where.writer.wait_for(TAIL)

    outcome = play(scene, replace(scenario, fault=fault, words=None))
    return outcome, beside.close()


def _line(row: dict[str, Any]) -> str:
    if why := row.get("skipped"):
        return f"| {row['does']} | - | not played: {why} |"
    alone, ours = row["engine_alone"], row["fleetbox"]
    says = f"says pending {alone['pending']}, active {str(alone['active']).lower()}"
    engine = f"**{alone['lost']} of {alone['written']} lost**; {says}"
    return (
        f"| {row['does']}; {row['ends']} | {engine} | {ours['lost']} of {ours['records']} lost, "
        f"all back {ours['back_s']:.0f} s after |"
    )


if __name__ == "__main__":
    sys.exit(main([name for text in sys.argv[1:] for name in text.split(",")]))
