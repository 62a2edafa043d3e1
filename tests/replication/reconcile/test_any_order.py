"""Whatever happens in whatever order, in the end every selected record has arrived or is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleetbox_replication.reconcile import Reconciler
from fleetbox_replication.wire import make_part
from tests.replication.reconcile.conftest import Pair, draft

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]
Step = tuple[str, int, int]

KINDS = (
    "write",
    "write",
    "select",
    "promote",
    "arrive",
    "evict",
    "lose",
    "mix",
    "tell",
    "look",
    "task",
    "restart",
    "forget",
)
STEPS = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 20), st.integers(1, 70)), min_size=4, max_size=14)


@dataclass
class World:
    """Do one thing after another to both ends, and keep what must be true of them."""

    pair: Pair
    folder: Path
    reconciler: Reconciler
    written: int = 0
    told: set[int] = field(default_factory=set)  # numbers of selected records that a page of the source has counted

    async def do(self, step: Step) -> None:
        """Do one thing to the records [first, first + count)."""
        kind, first, count = step
        await getattr(self, f"_{kind}")(range(first, min(first + count, self.written)), count)

    async def selected(self) -> set[int]:
        """Return the numbers of the source's selected records."""
        held = await self.pair.held(self.pair.here)
        return {int(labels["seq"]) for _, labels in held.values() if labels.get("keep") == "1"}

    async def there(self) -> set[int]:
        """Return the numbers of the destination's records."""
        return {int(labels["seq"]) for _, labels in (await self.pair.held(self.pair.there)).values()}

    async def _write(self, _some: Sequence[int], count: int) -> None:
        await self._add(count, "edge")

    async def _select(self, _some: Sequence[int], count: int) -> None:
        await self._add(count, "1")

    async def _add(self, count: int, keep: str) -> None:
        numbers = range(self.written, self.written + count)
        await self.pair.here.write(self.pair.bucket(), [draft(number, keep=keep) for number in numbers])
        self.written += count

    async def _promote(self, some: Sequence[int], _count: int) -> None:
        await self.pair.here.relabel(self.pair.bucket(), {"imu": [draft(n).time_us for n in some]}, {"keep": "1"})

    async def _arrive(self, some: Sequence[int], _count: int) -> None:
        """Let the task bring some, with the relay's proof."""
        arrived = [draft(number) for number in sorted(await self.selected() & set(some))]
        await self.pair.there.write(self.pair.bucket(), arrived)
        parts = [make_part(item.time_us, len(item.data), item.content_type, item.labels) for item in arrived]
        self.reconciler.vouched(self.pair.bucket(), "imu", parts)

    async def _evict(self, some: Sequence[int], _count: int) -> None:
        await self.pair.here.delete(self.pair.bucket(), "imu", [draft(number).time_us for number in some])

    async def _lose(self, some: Sequence[int], _count: int) -> None:
        """Take records from the destination that the source still has."""
        lost = sorted(await self.selected() & set(some))
        await self.pair.there.delete(self.pair.bucket(), "imu", [draft(number).time_us for number in lost])

    async def _mix(self, some: Sequence[int], _count: int) -> None:
        """Put wrong bytes where a record is to come."""
        absent = sorted((await self.selected() & set(some)) - await self.there())[:3]
        await self.pair.there.write(self.pair.bucket(), [draft(number, body="wrong") for number in absent])

    async def _tell(self, *_: object) -> None:
        await self.pair.tell_both()
        self.told |= await self.selected()

    async def _look(self, *_: object) -> None:
        await self.reconciler.step()

    async def _task(self, *_: object) -> None:
        """Make the task anew: it has forgotten everything."""
        await self.pair.here.remove_task(f"{self.pair.robot}--sensor-to-cloud")
        await self.pair.make_tasks()

    async def _restart(self, *_: object) -> None:
        await self.reconciler.close()
        self.reconciler = self.pair.reconciler(state=self.folder)

    async def _forget(self, *_: object) -> None:
        """Restart without a state."""
        await self.reconciler.close()
        for file in await asyncio.to_thread(lambda: list(self.folder.glob("reconcile-*"))):
            file.unlink()
        self.reconciler = self.pair.reconciler(state=self.folder)

    async def settle(self) -> None:
        """Let things come to rest: both ends tell what they hold, and the reconciler looks at it."""
        for _ in range(3):
            await self._tell()
            await self.reconciler.step()


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_the_end_all_that_was_selected_has_arrived_or_is_named(
    pair: Pairs, tmp_path_factory: object, steps: list[Step]
) -> None:
    """Records written, promoted, lost, spoilt and evicted in any order, tasks and reconciler restarted in between.

    In the end the destination holds every selected record that its source holds, whole; what was told and is at
    neither end is counted as unexplained, and nothing else is.
    """

    async def scene() -> None:
        folder = tmp_path_factory.mktemp("state")  # type: ignore[attr-defined]
        async with pair() as p:
            await p.make_tasks()
            world = World(p, folder, p.reconciler(state=folder))
            for step in steps:
                await world.do(step)
            await world.settle()

            selected, there = await world.selected(), await world.there()
            assert selected <= there
            here = await p.held(p.here)
            differing = {key for key, record in (await p.held(p.there)).items() if key in here and record != here[key]}
            assert not differing
            assert list(world.reconciler.unproven()) == []
            named = sum(standing.unexplained for standing in (await p.standings()).values())
            assert named <= len(world.told - selected - there)

    asyncio.run(scene())
