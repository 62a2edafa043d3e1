"""The verbs of this part: `replicate` with its hops, tasks and repairs."""

from fleetbox_replication.cli.tasks import replicate

__all__ = ["replicate"]
