"""Decide which labels the policy gives a record at the moment it is written."""

from __future__ import annotations

from fleetbox.labels import Labels
from fleetbox.naming import RING_CLASSES
from fleetbox.settings import Policy


def labels_at_write(policy: Policy, cls: str, stream: str) -> Labels:
    """Return `keep` and `policy` for streams that always travel at once, nothing for all others.

    Those wait in the ring for an event, or for their hours (late shipping); `meta` travels without any label.
    """
    if cls not in RING_CLASSES:
        return {}
    rule = policy.rule_for(stream)
    if rule.ship != "always" or rule.at is not None:
        return {}
    return {"keep": "edge" if rule.to == "edge" else "1", "policy": policy.hash}
