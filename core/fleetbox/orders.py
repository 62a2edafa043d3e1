"""Orders to robots and their answers: what a site asks of a robot behind a NAT, fetched by the robot itself.

An order is a record in the robot's desk at a site (bucket `<robot>--desk`, entry `orders/<writer>`); the robot looks
there every few seconds. Its answers are records of the stream `answers` in its own `meta`: they travel to every site.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.errors import InputError, NotFound
from fleetbox.labels import Labels
from fleetbox.naming import check_robot, desk_bucket
from fleetbox.person import user_here
from fleetbox.records import Draft, Record
from fleetbox.time import FOR_EVER_US

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()

ORDERS = "orders"  # entries below it, one per writer: two writers never share an entry
ANSWERS = "answers"
POLICIES = "policies"  # stream of a robot's `meta`: every policy it ever applied, so that its hash has a meaning
TYPE = "json"
CONTENT_TYPE = "application/json"

Item = TypeVar("Item", "Order", "Answer")
Kind = Literal["policy", "event"]
# "muted": triggers raise nothing until the day costs less than its budget again, "unmuted": they do again; "nothing":
# of the moment asked for, no record is left on the robot.
State = Literal["applied", "failed", "refused", "rolled back", "expired", "muted", "unmuted", "marked", "nothing"]


@dataclass(frozen=True, slots=True)
class Order:
    """Ask one robot for something: take a policy (`body` is an envelope), or keep a moment (`body` is an event).

    Times in µs since the epoch; `expires_us` is when it is no longer worth doing. Doing it twice must do no harm: a
    robot that died in the middle finds it again.
    """

    id: str
    robot: str
    kind: Kind
    body: Mapping[str, Any]
    by: str
    issued_us: int
    expires_us: int = FOR_EVER_US


@dataclass(frozen=True, slots=True)
class Answer:
    """Tell what became of an order; `policy` is the hash in force on the robot after it. Order "" answers nobody."""

    order: str
    robot: str
    kind: Kind
    state: State
    time_us: int
    reason: str = ""
    policy: str = ""
    body: Mapping[str, Any] = field(default_factory=dict)


def new_order(order: Order) -> Order:
    """Return the order with a fresh id when it has none; ids sort by the time of issue."""
    check_robot(order.robot)
    return order if order.id else replace(order, id=f"{order.issued_us:016x}-{secrets.token_hex(3)}")


async def write_order(store: Store, order: Order, writer: str, now_us: int | None = None) -> None:
    """Put an order into the robot's desk at a site as `orders/<writer>`.

    Its stamp is when it comes to lie there (default: its time of issue): what is brought on from another site arrives
    later, and must not come to lie behind what the robot has read. Raises NotFound where the robot has no desk,
    StoreRefused, Unreachable.
    """
    stamp_us = order.issued_us if now_us is None else now_us
    await _append(store, desk_bucket(order.robot), f"{ORDERS}/{writer}", order, stamp_us)


def writer_here() -> str:
    """Name the person at this machine as a writer of orders: "ada-laptop-7"; safe as the name of an entry."""
    host = socket.gethostname().split(".")[0]
    return re.sub(r"[^A-Za-z0-9_]+", "-", f"{user_here()}-{host}").strip("-") or "somebody"


async def write_answer(store: Store, bucket: str, answer: Answer) -> None:
    """Put an answer into a robot's `meta`; raises StoreRefused, Unreachable."""
    await _append(store, bucket, ANSWERS, answer, answer.time_us)


async def read_orders(store: Store, robot: str, start_us: int = 0, writer: str = "*") -> AsyncIterator[Order]:
    """Yield the orders in a robot's desk from a stamp on, in order of issue; none where it has no desk."""
    async for record in _records(store, desk_bucket(robot), [f"{ORDERS}/{writer}"], start_us):
        if (order := _read(record, Order)) is not None and order.robot == robot:
            yield order


async def read_answers(store: Store, bucket: str, start_us: int = 0) -> AsyncIterator[Answer]:
    """Yield the answers in a `meta` bucket from a stamp on, in order; none where it does not exist."""
    async for record in _records(store, bucket, [ANSWERS], start_us):
        if (answer := _read(record, Answer)) is not None:
            yield answer


def encode(item: Order | Answer) -> bytes:
    """Return an order's or answer's JSON."""
    return json.dumps(asdict(item), ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes, model: type[Item]) -> Item:
    """Read an order or an answer; unknown keys are passed over, missing ones raise InputError."""
    try:
        raw: dict[str, Any] = json.loads(data)
        item = model(**{name: raw[name] for name in model.__dataclass_fields__ if name in raw})
        _check_types(item)
        return item
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are no {model.__name__.lower()}: {error}") from error


def _check_types(item: Order | Answer) -> None:
    """Raise TypeError for fields of another type: a desk is written by many, and read by robots that must not fall."""
    texts = [item.id, item.by] if isinstance(item, Order) else [item.order, item.state, item.reason, item.policy]
    numbers = [item.issued_us, item.expires_us] if isinstance(item, Order) else [item.time_us]
    right = all(isinstance(text, str) for text in (*texts, item.robot, item.kind)) and isinstance(item.body, Mapping)
    if not right or not all(type(number) is int for number in numbers):
        raise TypeError("a field has another type")


async def _append(store: Store, bucket: str, entry: str, item: Order | Answer, time_us: int) -> None:
    data = encode(item)
    labels: Labels = {"robot": item.robot, "type": TYPE, "kind": item.kind, "xxh": xxhash.xxh3_64_hexdigest(data)}
    if isinstance(item, Answer):
        labels["state"] = item.state
    await append(store, bucket, Draft(entry, time_us, data, labels, CONTENT_TYPE), entry, "fleetbox doctor")


async def _records(store: Store, bucket: str, entries: list[str], start_us: int) -> AsyncIterator[Record]:
    try:
        async for record in store.query(bucket, entries, start_us=start_us):
            yield record
    except NotFound:
        return


def _read(record: Record, model: type[Item]) -> Item | None:
    try:
        return decode(record.data, model)
    except InputError as error:  # one foreign record must not hide all the others
        log.warning("record passed over", bucket=record.bucket, entry=record.entry, why=error.message)
        return None
