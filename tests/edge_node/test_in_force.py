"""In force: an old record is judged by the policy its robot followed then, not by today's."""

from __future__ import annotations

import asyncio

from fleetbox.blobs import BucketSpec, Store
from fleetbox.policies import Followed, write_policy
from fleetbox.settings import parse_policy
from fleetbox_edge.in_force import followed_at
from tests.conftest import StoreServer

FIRST, SECOND = 'version = 1\n[stream.cam]\nship = "event"\n', 'version = 2\n[stream.cam]\nship = "always"\n'
NOW = 1_760_000_000_000_000  # µs
MINUTE_US = 60_000_000


def test_the_policy_of_a_time_is_the_one_followed_then(store_server: StoreServer, bucket_name: str) -> None:
    """Between two switches the first holds; before any, what the robot said first; after both, the second."""

    async def ask() -> list[int | None]:
        async with Store(store_server.url, store_server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            for at_us, text in ((NOW, FIRST), (NOW + MINUTE_US, SECOND)):
                await write_policy(store, bucket_name, Followed("r1", parse_policy(text).hash, text, at_us))
            found = [await followed_at(store, bucket_name, NOW + seconds * 1_000_000) for seconds in (-9, 30, 90)]
            return [policy and policy.version for policy in found]

    assert asyncio.run(ask()) == [1, 1, 2]
