"""Orders and answers as values and in a real store's desk."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError, NotFound
from fleetbox.naming import desk_bucket
from fleetbox.orders import (
    Answer,
    Order,
    decode,
    encode,
    new_order,
    read_answers,
    read_orders,
    write_answer,
    write_order,
    writer_here,
)
from fleetbox.records import Draft
from tests.conftest import StoreServer

T = 1_763_700_000_000_000
ORDER = Order("o-1", "r1", "event", {"note": "wet floor — ö"}, "ada", T)
ANSWER = Answer("o-1", "r1", "event", "marked", T + 1, "all there", "9f3a0000")


def test_codecs_are_lossless() -> None:
    """What is written is what is read; keys of a later version are passed over."""
    assert decode(encode(ORDER), Order) == ORDER
    assert decode(encode(ANSWER), Answer) == ANSWER
    assert decode(encode(ORDER)[:-1] + b',"urgent":true}', Order) == ORDER


@pytest.mark.parametrize(
    "wrong",
    [{"id": 1}, {"robot": None}, {"body": []}, {"body": "x"}, {"issued_us": "now"}, {"expires_us": 1.5}, {"kind": {}}],
)
def test_foreign_orders_are_refused(wrong: dict[str, Any]) -> None:
    """A field of another type is an error here, not in the robot that acts on it; so are bytes that are no order."""
    with pytest.raises(InputError, match="no order"):
        decode(json.dumps({**json.loads(encode(ORDER)), **wrong}).encode(), Order)
    for data in (b"", b"[]", b"{}", b"\xff"):
        with pytest.raises(InputError):
            decode(data, Answer)


def test_ids_sort_by_issue_and_stay() -> None:
    """A fresh id sorts by its time; one that is there is kept; a robot that cannot be is refused."""
    ids = [new_order(replace(ORDER, id="", issued_us=T + n)).id for n in range(3)]
    assert ids == sorted(ids)
    assert new_order(ORDER).id == "o-1"
    with pytest.raises(InputError, match="robot id"):
        new_order(replace(ORDER, robot="r--1"))


def test_a_writer_is_the_name_of_an_entry() -> None:
    """Whoever runs this, and wherever, the name can be an entry's last segment."""
    from fleetbox.naming import check_stream

    assert check_stream(f"orders/{writer_here()}")


def test_a_desk_keeps_the_orders_of_every_writer(store_server: StoreServer, bucket_name: str) -> None:
    """Orders lie under their writers, equal stamps side by side, and are found from a stamp on; others hide none."""
    robot = bucket_name  # a name nobody else uses

    async def work() -> list[list[str]]:
        async with Store(store_server.url, store_server.token) as store:
            await store.ensure_bucket(desk_bucket(robot), BucketSpec("NONE", 0))
            for number, writer in enumerate(("ada", "bob", "ada")):
                await write_order(store, replace(ORDER, id=f"o-{number}", robot=robot), writer)
            await write_order(store, replace(ORDER, id="late", robot=robot), "ada", T + 100)
            stranger = encode(replace(ORDER, id="x", robot="other"))
            drafts = [Draft("orders/eve", T + n, data, {}, "text/plain") for n, data in enumerate((b"no", stranger))]
            await store.write(desk_bucket(robot), drafts)
            return [
                sorted([order.id async for order in read_orders(store, robot)]),
                [order.id async for order in read_orders(store, robot, T + 50)],
                [order.id async for order in read_orders(store, robot, 0, "bob")],
                [order.id async for order in read_orders(store, "nobody-here")],
            ]

    assert asyncio.run(work()) == [["late", "o-0", "o-1", "o-2"], ["late"], ["o-1"], []]


def test_a_robot_without_a_desk_takes_no_orders(store_server: StoreServer, bucket_name: str) -> None:
    """An order that nobody would ever read is an error at once."""

    async def work() -> None:
        async with Store(store_server.url, store_server.token) as store:
            await write_order(store, replace(ORDER, robot=bucket_name), "ada")

    with pytest.raises(NotFound):
        asyncio.run(work())


def test_answers_are_read_in_order(store_server: StoreServer, bucket_name: str) -> None:
    """Answers come back as they were given, also two of one microsecond."""

    async def work() -> list[Answer]:
        async with Store(store_server.url, store_server.token) as store:
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            for order in ("a", "b"):
                await write_answer(store, bucket_name, replace(ANSWER, order=order))
            return [answer async for answer in read_answers(store, bucket_name)]

    assert asyncio.run(work()) == [replace(ANSWER, order="a"), replace(ANSWER, order="b")]
