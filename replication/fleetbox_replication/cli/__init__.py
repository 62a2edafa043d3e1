"""The verbs of this part: `replicate` with its hops, tasks and repairs."""

from fleetbox_replication.cli.letters import dead_letters, pause, resume
from fleetbox_replication.cli.repairs import repair, verify
from fleetbox_replication.cli.tasks import replicate

for verb in (verify, repair, pause, resume, dead_letters):
    replicate.add_command(verb)

__all__ = ["replicate"]
