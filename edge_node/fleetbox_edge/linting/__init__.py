"""Find what in a policy cannot be meant so: filters that never match, rules that never decide, names nobody uses."""

from fleetbox_edge.linting.document import lint_policy
from fleetbox_edge.linting.findings import Finding, KnownStream

__all__ = ["Finding", "KnownStream", "lint_policy"]
