"""Pause and resume tasks: what they select waits in the source store meanwhile, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fleetbox.blobs import Store, TaskMode
from fleetbox.errors import FleetboxError, NotFound
from fleetbox.selectors import matches_glob
from fleetbox.settings import Place
from fleetbox_replication.apply import connect
from fleetbox_replication.tasks import is_ours


@dataclass(frozen=True, slots=True)
class Switched:
    """Say which task of which place went from one mode to another; an error where it did not."""

    place: str
    task: str
    was: str
    now: str
    error: FleetboxError | None = None

    def row(self) -> dict[str, Any]:
        """Return it as a row for people and JSON."""
        error = {"error": self.error.message} if self.error else {}
        return {"place": self.place, "task": self.task, "was": self.was, "now": self.now, **error}


@dataclass(frozen=True, slots=True)
class SwitchReport:
    """Account for every task that was chosen, and for the places that did not answer."""

    tasks: tuple[Switched, ...] = ()
    unreachable: dict[str, FleetboxError] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Count the tasks whose mode changed."""
        return sum(item.was != item.now and item.error is None for item in self.tasks)

    @property
    def exit_code(self) -> int:
        """Return 0 when all is as asked, 3 when only a part is, else the code of the first failure."""
        troubles = [item.error for item in self.tasks if item.error] + list(self.unreachable.values())
        if not troubles:
            return 0
        return 3 if any(item.error is None for item in self.tasks) else troubles[0].exit_code


async def switch(places: Iterable[Place], hops: Sequence[str], mode: TaskMode) -> SwitchReport:
    """Set the mode of the tasks that `hops` name: places they leave, task names or globs of them; none means all.

    Raises NotFound when a name fits nothing while every place answered.
    """
    reports = await asyncio.gather(*(_switched(place, hops, mode) for place in places))
    tasks = tuple(item for report, _ in reports for item in report.tasks)
    unreachable = {name: error for report, _ in reports for name, error in report.unreachable.items()}
    fitted = {hop for _, fits in reports for hop in fits}
    if (unknown := [hop for hop in hops if hop not in fitted]) and not unreachable:
        raise NotFound(
            f"no hop is called {', '.join(unknown)}",
            "name a place, a task, or a glob of tasks such as 'media-to-*'; fleetbox replicate status shows them",
        )
    return SwitchReport(tasks, unreachable)


async def _switched(place: Place, hops: Sequence[str], mode: TaskMode) -> tuple[SwitchReport, set[str]]:
    try:
        async with connect(place) as store:
            tasks = [task for task in await store.tasks() if is_ours(task.spec)]
            chosen = [(task, _fitting(place.name, task.spec.name, hops)) for task in tasks]
            done = [
                await _set(store, place.name, task.spec.name, task.mode, mode)
                for task, fits in chosen
                if fits or not hops
            ]
            return SwitchReport(tuple(done)), {hop for _, fits in chosen for hop in fits}
    except FleetboxError as error:
        return SwitchReport(unreachable={place.name: error}), set()


def _fitting(place: str, task: str, hops: Sequence[str]) -> set[str]:
    return {hop for hop in hops if hop == place or matches_glob(hop, task)}


async def _set(store: Store, place: str, task: str, was: str, mode: TaskMode) -> Switched:
    if was == mode:
        return Switched(place, task, was, was)
    try:
        await store.set_task_mode(task, mode)
    except FleetboxError as error:
        return Switched(place, task, was, was, error)
    return Switched(place, task, was, mode)
