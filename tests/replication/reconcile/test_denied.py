"""A place that its own store turns away says so; a destination that does is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress

import pytest

from fleetbox.blobs import Store
from fleetbox.errors import AccessDenied
from fleetbox_replication.reconcile import Options, Reconciler, Route
from tests.replication.reconcile.conftest import AT_ONCE, Pair, drafts

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]


def test_a_source_that_turns_its_own_place_away_is_told(pair: Pairs) -> None:
    """With a token that its own store no longer takes, the reconciler ends: only who opened it can open it anew."""

    async def scene() -> None:
        async with pair() as p, Store(p.far.url, "revoked") as denied:
            reconciler = Reconciler(
                lambda: denied, lambda: Store(p.far.url, p.far.token), p.passage, Route("edge-1", "cloud"),
                Options(rhythm=AT_ONCE),
            )  # fmt: skip
            async with asyncio.timeout(150):
                with pytest.raises(AccessDenied):
                    await reconciler.run()

    asyncio.run(scene())


def test_a_destination_that_turns_us_away_is_waited_for(pair: Pairs) -> None:
    """With another token for the destination it goes on by itself, and brings what is missing."""

    async def scene() -> None:
        async with pair() as p:
            tokens = ["revoked"]
            await p.here.write(p.bucket(), drafts(20))
            await p.make_tasks()
            await p.tell_both()
            looks = 0

            async def sleep(_seconds: float) -> None:
                nonlocal looks
                looks += 1
                await asyncio.sleep(0.01)

            reconciler = Reconciler(
                lambda: p.here, lambda: Store(p.far.url, tokens[-1]), p.passage, Route("edge-1", "cloud"),
                Options(rhythm=AT_ONCE, now_us=p.tick, sleep=sleep),
            )  # fmt: skip
            task = asyncio.create_task(reconciler.run())
            async with asyncio.timeout(150):
                while looks < 2:  # noqa: ASYNC110 - what happens in servers sets no event here
                    await asyncio.sleep(0.02)
                assert not task.done()
                assert await p.held(p.there) == {}
                tokens.append(p.far.token)
                while len(await p.held(p.there)) < 20:  # noqa: ASYNC110 - what happens in servers sets no event here
                    await asyncio.sleep(0.02)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    asyncio.run(scene())
