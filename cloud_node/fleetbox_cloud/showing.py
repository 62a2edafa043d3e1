"""Lay out a loader's report for people: its counts, what was refused, what is missing, when that was checked."""

from __future__ import annotations

from typing import Any

from fleetbox.time import show_time

SHOWN = 20  # rows of refusals and of missing values: the worst are enough to act on, --json has all
Table = tuple[list[dict[str, Any]], list[str]]


def troubles_of(loader: dict[str, Any]) -> list[str]:
    """Return what stands in the way of loading, and of checking."""
    found = [f"loader: {loader['trouble']}"] if loader["trouble"] else []
    checks = loader["checks"]
    return found + ([f"loader's checks: {checks['trouble']}"] if checks and checks["trouble"] else [])


def tables_of(loader: dict[str, Any]) -> list[Table]:
    """Return the tables that have rows."""
    counts = [
        {"robot": robot, "what": what, "n": n} for robot, one in loader["robots"].items() for what, n in one.items()
    ]
    refused = [{**row, "from": show_time(row["first_us"])} for row in loader["refused"][:SHOWN]]
    short = [{**row, "missing": row["n"], "from": show_time(row["first_us"])} for row in loader["short"][:SHOWN]]
    done = (loader["checks"] or {}).get("done", {})
    checked = [{"checked": name, **one, "at": show_time(one["at_us"])} for name, one in done.items()]
    tables: list[Table] = [
        (counts, ["robot", "what", "n"]),
        (refused, ["robot", "stream", "reason", "n", "from", "message", "next_step"]),
        (short, ["robot", "stream", "reason", "missing", "minutes", "from"]),
        (checked, ["checked", "at", "values", "repaired", "short", "loaded"]),
    ]
    return [one for one in tables if one[0]]
