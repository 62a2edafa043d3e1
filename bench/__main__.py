"""Run the benchmarks named on the command line, or all, print one table and keep the rows as JSON."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
ORDER = (
    "recorder",
    "blobs",
    "reading",
    "verbs",
    "beside_influx",
    "rolling",
    "memory",
    "relay",
    "pacing",
    "lag",
    "events",
    "many_robots",
    "ledger",
    "lake",
    "episodes",
    "reconcile",
    "audit",
    "loader",
    "boards",
    "feeds",
    "triggers",
    "transcode",
    "exports",
    "ram_ring",
    "policy_value",
    "rollout",
    "lerobot",
    "samples",
    "live",
)


def main(names: list[str]) -> int:
    """Run each benchmark and print its rows as they come."""
    rows: list[dict[str, Any]] = []
    print("| what | measured | raw, same run | ratio | goal |\n|---|---|---|---|---|")
    for name in names or ORDER:
        started = time.monotonic()
        found = importlib.import_module(f"bench.{name}").run()
        for row in found:
            print(_line(row), flush=True)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr)
        rows += [{"bench": name, **row} for row in found]
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}.json").write_text(json.dumps(rows, indent=1, default=str))
    return 0


def _line(row: dict[str, Any]) -> str:
    measured = f"{_number(row['value'])} {row['unit']}"
    return f"| {row['name']} | {measured} | {_raw(row)} | {_ratio(row)} | {row.get('goal') or '-'} |"


def _raw(row: dict[str, Any]) -> str:
    return "-" if row.get("raw") is None else f"{_number(row['raw'])} {row['unit']}"


def _ratio(row: dict[str, Any]) -> str:
    return "-" if row.get("ratio") is None else f"{_number(row['ratio'])}x"


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
