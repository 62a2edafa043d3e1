"""Have a policy linted by whichever part can, before it is sent: parts are found by entry point."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points
from typing import Any, Protocol

from fleetbox.settings import Policy

GROUP = "fleetbox.policy_lint"  # callables (policy, sites=...) -> findings


class Finding(Protocol):
    """Point at one place of a policy that cannot be meant so."""

    level: Any  # "error" or "warning"
    key: Any
    message: Any


def lint(policy: Policy, sites: Collection[str]) -> list[Finding]:
    """Return what the installed parts find, errors first; none where no part can lint."""
    found = [finding for entry in entry_points(group=GROUP) for finding in entry.load()(policy, sites=sites)]
    return sorted(found, key=lambda finding: str(finding.level))
