"""Asks `fleetbox audit` for the books of a scene, and holds them against what was compared record by record."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from fleetbox.errors import FleetboxError
from fleetbox_local.drill.comparing import Difference
from fleetbox_local.drill.outcome import Balance
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import ROBOT
from fleetbox_local.fleet import MAIN

LIMIT_S = 150.0  # for one answer: seconds of work, on a machine that does a lot besides
DAYS_S = 2 * 86_400  # clocks that jump write into yesterday and tomorrow
ENDED = (0, 3)  # the exit codes of an audit that came to its end


def ask(scene: Scene) -> Balance:
    """Return the books of a scene as `fleetbox audit` closes them now; raises FleetboxError when it does not answer."""
    now_s = int(time.time())
    span = ("--start", "1", "--stop", str(now_s + DAYS_S))
    argv = (sys.executable, "-c", MAIN, "audit", ROBOT, *span, "--fleet", str(scene.local.fleet_file), "--json")
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise FleetboxError(f"`fleetbox audit` did not answer within {LIMIT_S:g} s") from error
    if done.returncode not in ENDED:
        raise FleetboxError(f"`fleetbox audit` ended with code {done.returncode}: {done.stderr.strip()[-500:]}")
    return _balance(json.loads(done.stdout))


def check(balance: Balance, found: tuple[Difference, ...], loses: bool) -> list[str]:
    """Say where the books do not close, or tell of other records than the comparison has seen."""
    faults = []
    if not balance.balanced:
        faults.append("audit: the terms do not add up")
    for what in ("unexplained", "waiting", "refused", "gaps"):
        if (count := getattr(balance, what)) and not loses:
            faults.append(f"audit: {count} {what} {balance.named.get(what, '')}".rstrip())
    if loses:
        return faults + _named_exactly(balance, found)
    if balance.lost:
        faults.append(f"audit: {balance.lost} lost {balance.named.get('lost', '')}")
    for difference in found:
        told = balance.arrived_at.get(difference.place, 0)
        if told != difference.selected - len(difference.missing):
            faults.append(f"audit: {told} arrived at {difference.place}, listed there: {difference.selected}")
    return faults


def _named_exactly(balance: Balance, found: tuple[Difference, ...]) -> list[str]:
    """Say where what the books name as lost, or as missing in the order, is not what is absent from the edge.

    Only streams that always ship have numbers that can be looked for one by one; a picture is one number.
    """
    absent = found[0].absent
    faults = []
    for stream in absent.keys() | balance.lost_of.keys():
        if absent.get(stream, 0) != balance.lost_of.get(stream, 0) and stream in found[0].promised:
            faults.append(
                f"audit: {balance.lost_of.get(stream, 0)} of {stream} lost, {absent.get(stream, 0)} numbers absent"
            )
    return faults


def _balance(books: Mapping[str, Any]) -> Balance:
    rows: list[dict[str, Any]] = books["rows"]
    hops: list[dict[str, Any]] = [hop for hops in books["robots"].values() for hop in hops]
    first = [row for row in rows if row["from"] == ROBOT]
    lost_of: Counter[str] = Counter()
    for row in first:
        lost_of[row["stream"]] += sum(row["lost"].values()) + row["gaps"]
    return Balance(
        recorded=sum(row["recorded"] for row in first),
        selected=sum(row["selected"] for row in rows),
        arrived=sum(row["arrived"] for row in rows),
        waiting=sum(row["waiting"] for row in rows),
        refused=sum(sum(row["refused"].values()) for row in rows),
        lost=books["lost"],
        unexplained=books["unexplained"],
        gaps=sum(row["gaps"] for row in rows),
        balanced=books["balanced"],
        arrived_at={hop["hop"]: hop["arrived"] for hop in hops},
        lost_of=dict(+lost_of),
        named={what: _named(rows, what) for what in ("waiting", "refused", "lost", "unexplained", "gaps")},
    )


def _named(rows: list[dict[str, Any]], what: str) -> str:
    found: Counter[str] = Counter()
    for row in rows:
        terms = row[what] if isinstance(row[what], dict) else {"": row[what]}
        for reason, count in terms.items():
            if count:
                found[f"{row['stream']} to {row['hop']}" + (f" ({reason})" if reason else "")] += count
    return str(dict(found)) if found else ""
