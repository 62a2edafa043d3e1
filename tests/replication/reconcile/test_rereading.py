"""What is read back after a break, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

from fleetbox.records import Draft
from fleetbox_replication.reconcile import Options
from fleetbox_replication.reconcile.rereading import MOST_BYTES, Suspects, runs
from fleetbox_replication.wire import Part
from tests.replication.conftest import until
from tests.replication.reconcile.conftest import AT_ONCE, Pair, drafts

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]
WATCH_S = 60.0


def parts(some: list[Draft]) -> list[Part]:
    """Return what a relay announces of records."""
    return [Part(d.time_us, len(d.data), d.content_type, d.labels, "") for d in some]


def test_only_what_comes_within_the_watch_is_suspect() -> None:
    """Records stored after a break are remembered until the watch is over, label updates and later ones are not."""
    now = [100.0]
    suspects = Suspects(lambda: now[0], WATCH_S)
    some = drafts(3)
    suspects.note("b", "imu", parts(some))
    assert not suspects.of("b"), "nothing broke yet"
    suspects.alarm()
    suspects.note("b", "imu", [*parts(some[:1]), replace(parts(some)[1], size=0)])
    assert not suspects.has("b"), "a request left behind may still be writing"
    now[0] += WATCH_S
    suspects.note("b", "imu", parts(some[2:]))
    assert suspects.has("b")
    assert suspects.of("b") == {"imu": [some[0].time_us]}
    suspects.forget("b")
    assert not suspects.has("b")


def test_the_newest_are_read_when_there_are_too_many() -> None:
    """Beyond the bound in bytes the oldest suspects are let go."""
    now = [0.0]
    suspects = Suspects(lambda: now[0], WATCH_S)
    suspects.alarm()
    big = [Part(time_us, MOST_BYTES // 4, "x", {}, "") for time_us in range(6)]
    suspects.note("b", "cam", big)
    suspects.note("b", "cam", big[-1:])
    now[0] += WATCH_S
    assert suspects.of("b") == {"cam": [2, 3, 4, 5]}


def test_times_far_apart_are_read_by_themselves() -> None:
    """One query spans only what lies close together."""
    assert [list(run) for run in runs([1, 2, 20_000_000, 20_000_001])] == [[1, 2], [20_000_000, 20_000_001]]
    assert list(runs([])) == []


def test_bytes_mixed_up_after_a_break_are_replaced(pair: Pairs) -> None:
    """A record vouched for after a break that holds other bytes under right labels is mended without being asked."""

    async def scene() -> None:
        async with pair() as p:
            now_s = [1_000.0]  # a busy machine must not end the watch before anything was vouched for
            options = Options(rhythm=replace(AT_ONCE, watch_s=0.5), now_us=p.tick, monotonic_s=lambda: now_s[0])
            some = drafts(20)
            await p.here.write(p.bucket(), some)
            mixed = replace(some[7], data=b"x" * len(some[7].data))
            await p.there.write(p.bucket(), [*some[:7], mixed, *some[8:]])
            await p.make_tasks()
            await p.tell_both()
            reconciler = p.reconciler(options)
            await reconciler.step()  # the first look is one after a break
            reconciler.vouched(p.bucket(), "imu", parts(some))
            await reconciler.step()
            assert (await p.held(p.there))["imu", mixed.time_us][0] == mixed.data, "heads tell nothing"
            now_s[0] += 0.9  # more than a second would be a store that was started anew

            async def alike() -> bool:
                await reconciler.step()
                return await p.held(p.there) == await p.held(p.here)

            await until(alike)
            assert reconciler.report()["mended"] == 1
            before = reconciler.report()["payloads_read"]
            await reconciler.step()
            assert reconciler.report()["payloads_read"] == before == len(some), "each is read once"

    asyncio.run(scene())
