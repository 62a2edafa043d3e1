"""Try a policy on what a robot has recorded already: which events it would raise, and what would travel."""

from fleetbox_edge.dry_run.judging import Judged
from fleetbox_edge.dry_run.report import DryRun
from fleetbox_edge.dry_run.run import Asked, dry_run
from fleetbox_edge.dry_run.weighing import Scales, Weighed

__all__ = ["Asked", "DryRun", "Judged", "Scales", "Weighed", "dry_run"]
