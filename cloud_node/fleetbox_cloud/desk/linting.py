"""Have a policy linted by whichever part can, before it is sent: parts are found by entry point."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any, Protocol

from fleetbox.settings import FleetSettings, Policy

GROUP = "fleetbox.policy_lint"  # callables (policy, sites=..., fleet=..., robots=..., site=...) -> findings
ROBOTS = 8  # held against the streams of so many, those whose turn is first: each costs a request per stream


class Finding(Protocol):
    """Point at one place of a policy that cannot be meant so."""

    level: Any  # "error" or "warning"
    key: Any
    message: Any


def lint(policy: Policy, fleet: FleetSettings, site: str, robots: Sequence[str]) -> list[Finding]:
    """Return what the installed parts find, errors first; none where no part can lint.

    robots: those that are to take it, in the order of their turn; what the site knows of their streams counts.
    """
    asked = {"sites": list(fleet.site), "fleet": fleet, "robots": robots[:ROBOTS], "site": site}
    found = [finding for entry in entry_points(group=GROUP) for finding in entry.load()(policy, **asked)]
    return sorted(found, key=lambda finding: str(finding.level))
