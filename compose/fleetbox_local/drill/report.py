"""Shows the outcomes of a drill: the closing balance for people, one object for programs."""

from __future__ import annotations

from typing import Any

from fleetbox.cli.output import emit, say, table
from fleetbox_local.drill.outcome import Outcome, Report

COLUMNS = ("fault", "promised", "selected", "edge", "cloud", "lost", "unexplained", "back", "doctor", "")
NUMBERS = ("promised", "selected", "edge", "cloud", "lost", "unexplained", "back")


def emit_report(report: Report) -> None:
    """Print the outcomes as one JSON object."""
    rows = [outcome.row() for outcome in report.outcomes]
    emit({"ok": report.ok, "seconds": report.seconds, "folder": report.folder, "faults": rows})


def show_report(report: Report) -> None:
    """Print the balance, the worst first, and what is wrong in words."""
    say("records one by one: promised by log(), selected by the policy, held by edge and cloud")
    table([_shown(outcome) for outcome in sorted(report.outcomes, key=_worst_first)], COLUMNS, right=NUMBERS)
    for outcome in report.outcomes:
        for fault in outcome.faults:
            say(f"{outcome.name}: {fault}")
        if outcome.skipped:
            say(f"{outcome.name}: skipped: {outcome.skipped}")
    bad = [outcome for outcome in report.outcomes if not outcome.ok]
    verdict = f"{len(bad)} of {len(report.outcomes)} did not end well" if bad else "nothing lost"
    say(f"\n{verdict}; {report.seconds:.0f} s" + (f"; data and logs in {report.folder}" if report.folder else ""))


def _worst_first(outcome: Outcome) -> tuple[bool, bool, str]:
    return outcome.ok, outcome.skipped is None, outcome.name


def _shown(outcome: Outcome) -> dict[str, Any]:
    held = {difference.place: difference for difference in outcome.differences}
    counts = {name: one.selected - len(one.missing) for name, one in held.items()}
    balance = outcome.balance
    return {
        "fault": outcome.name,
        "promised": outcome.promised,
        "selected": max((one.selected for one in held.values()), default=None),
        "edge": counts.get("edge"),
        "cloud": counts.get("cloud"),
        "lost": balance.lost if balance else None,
        "unexplained": balance.unexplained if balance else None,
        "back": None if outcome.back_s is None else f"{outcome.back_s:.1f} s",
        "doctor": _doctor(outcome),
        "": "skipped" if outcome.skipped else "ok" if outcome.ok else "NOT WELL",
    }


def _doctor(outcome: Outcome) -> str:
    if outcome.symptom is None:
        return "-"
    return f"{outcome.symptom.after_s:.1f} s" if outcome.symptom.after_s is not None else "not named"
