"""Which policy a robot follows, and what a hash means, as its `meta` tells it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError
from fleetbox.orders import POLICIES
from fleetbox.policies import (
    Followed,
    decode,
    encode,
    policy_by_hash,
    policy_in_force,
    read_policies,
    write_policy,
)
from fleetbox.records import Draft
from fleetbox.settings import Policy, parse_policy
from fleetbox.signing import Envelope
from tests.conftest import StoreServer

T = 1_763_700_000_000_000
TEXTS = ('version = 1\nname = "own"\n', 'version = 2\n[stream.imu]\nship = "always"\n')
OWN = Followed("r1", parse_policy(TEXTS[0]).hash, TEXTS[0], T)
SENT = Followed(
    "r1", parse_policy(TEXTS[1]).hash, TEXTS[1], T + 5, "o-1", Envelope(TEXTS[1], ("r*",), T, T + 9, "k", "s")
)


def told(server: StoreServer, bucket: str, ask: Callable[[Store], Awaitable[Any]], *told: Followed) -> Any:
    """Write what a robot followed into a bucket, and ask the store something."""

    async def work() -> Any:
        async with Store(server.url, server.token) as store:
            await store.ensure_bucket(bucket, BucketSpec("NONE", 0))
            for followed in told:
                await write_policy(store, bucket, followed)
            return await ask(store)

    return asyncio.run(work())


def test_codec_is_lossless() -> None:
    """What a robot told is what is read, signed or its own; the text of a signed one is carried once."""
    assert [decode(encode(one)) for one in (OWN, SENT)] == [OWN, SENT]
    assert encode(SENT).count(b'ship = \\"always\\"') == 1
    for data in (b"", b"[]", b'{"robot": "r1"}', b'{"envelope": 3}'):
        with pytest.raises(InputError, match="no policy"):
            decode(data)


def test_the_newest_is_in_force(store_server: StoreServer, bucket_name: str) -> None:
    """The last policy that came in force holds, and every earlier one is found by its hash."""

    async def ask(store: Store) -> tuple[Policy | None, list[Policy | None]]:
        hashes = (OWN.hash, SENT.hash, "00000000")
        return await policy_in_force(store, bucket_name), [
            await policy_by_hash(store, bucket_name, each) for each in hashes
        ]

    now, found = told(store_server, bucket_name, ask, OWN, SENT)
    assert now == parse_policy(TEXTS[1])
    assert found == [parse_policy(TEXTS[0]), parse_policy(TEXTS[1]), None]


def test_a_robot_that_told_nothing_has_none(store_server: StoreServer, bucket_name: str) -> None:
    """An empty `meta`, or none at all, names no policy."""
    assert told(store_server, bucket_name, lambda store: policy_in_force(store, bucket_name)) is None
    assert told(store_server, bucket_name, lambda store: policy_in_force(store, "no-such-bucket")) is None


def test_foreign_records_hide_nothing(store_server: StoreServer, bucket_name: str) -> None:
    """Bytes that are no policy leave the one before in force; a text this version does not know is none."""

    async def ask(store: Store) -> tuple[Policy | None, int, Policy | None]:
        await store.write(bucket_name, [Draft(POLICIES, T + 100, b"no", {}, "text/plain")])
        before = await policy_in_force(store, bucket_name)
        count = len([one async for one in read_policies(store, bucket_name)])
        await write_policy(store, bucket_name, Followed("r1", "ffffffff", "[future]\n", T + 200))
        return before, count, await policy_in_force(store, bucket_name)

    assert told(store_server, bucket_name, ask, OWN) == (parse_policy(TEXTS[0]), 1, None)
