"""Triggers: which records make a moment, judged as they are recorded."""

from fleetbox_edge.triggers.condition import Condition
from fleetbox_edge.triggers.judge import Judge
from fleetbox_edge.triggers.readings import Reading
from fleetbox_edge.triggers.rules import Rule, Rules, compile_each, compile_rules
from fleetbox_edge.triggers.voice import Counts
from fleetbox_edge.triggers.watch import Firing

__all__ = [
    "Condition",
    "Counts",
    "Firing",
    "Judge",
    "Reading",
    "Rule",
    "Rules",
    "compile_each",
    "compile_rules",
]
