"""Pages are followed one by one, also one that its store counts before it can be read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from half_written import half_written

from fleetbox.ledger import Page
from fleetbox.ledger.shelf import draft
from fleetbox_replication.reconcile.following import Follower
from fleetbox_replication.reconcile.state import Cursor
from tests.conftest import StoreServer
from tests.replication.reconcile.conftest import BASE_US, Pair

Pairs = Callable[[], AbstractAsyncContextManager[Pair]]


def test_a_page_still_being_written_is_read_once_it_is(pair: Pairs, store_server: StoreServer) -> None:
    """The look at that moment is not the last one, first or later; afterwards nothing is read twice."""

    async def scene() -> None:
        async with pair() as p:
            cursor, bucket = Cursor(), p.bucket("meta")
            follower = Follower(bucket, draft(Page("edge-1", p.robot, BASE_US), BASE_US).entry)
            for number in range(3):
                page = Page("edge-1", p.robot, BASE_US + number)
                item = draft(page, BASE_US + number)
                async with half_written(store_server, bucket, item) as end:
                    for _ in range(2):
                        pages, cursor = await follower.news(p.here, cursor, look_first=True)
                        assert pages == []
                    await end()
                pages, cursor = await follower.news(p.here, cursor, look_first=True)
                assert [found.written_us for found in pages] == [BASE_US + number]
                assert await follower.news(p.here, cursor, look_first=True) == ([], cursor)

    asyncio.run(scene())
