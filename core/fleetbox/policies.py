"""Tell which policies a robot has followed: its `meta` gets a record each time one comes in force.

The stream is `policies`. So every site can say what a hash means that stands on a record, and which policy a robot
follows now.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.errors import FleetboxError, InputError, NotFound, StoreRefused
from fleetbox.labels import Labels
from fleetbox.orders import CONTENT_TYPE, POLICIES, TYPE
from fleetbox.records import Draft, Record
from fleetbox.settings import Policy, parse_policy
from fleetbox.signing import Envelope

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()

HASH = "hash"  # label; `policy` is reserved for the records that a policy kept


@dataclass(frozen=True, slots=True)
class Followed:
    """Hold a policy that came in force on a robot, and when (µs): its text, its hash as the robot computed it.

    `order` brought it; "" is the robot's own file, which nobody signed: then `envelope` is None.
    """

    robot: str
    hash: str
    text: str
    time_us: int
    order: str = ""
    envelope: Envelope | None = None

    @property
    def policy(self) -> Policy:
        """Return the policy; raises SettingsError when this version does not understand its text."""
        return _parsed(self.text)


def encode(followed: Followed) -> bytes:
    """Return its JSON; the text of a signed policy stands in its envelope only."""
    raw = asdict(followed)
    if followed.envelope is not None:
        del raw["text"]
    return json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> Followed:
    """Read it; unknown keys are passed over, missing ones raise InputError."""
    try:
        raw: dict[str, Any] = json.loads(data)
        signed = raw.get("envelope")
        envelope = Envelope(**{**signed, "robots": tuple(signed["robots"])}) if signed else None
        known = {name: raw[name] for name in Followed.__dataclass_fields__ if name in raw}
        return Followed(**{"text": envelope.text if envelope else "", **known, "envelope": envelope})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are no policy that a robot followed: {error}") from error


def labels_of(followed: Followed) -> Labels:
    """Return the labels that let readers find a policy by its hash."""
    return {"kind": "policy", HASH: followed.hash}


async def write_policy(store: Store, bucket: str, followed: Followed) -> None:
    """Put it into a robot's `meta`; robots write through their recorder instead. Raises StoreRefused, Unreachable."""
    data = encode(followed)
    labels: Labels = {"robot": followed.robot, "type": TYPE, "xxh": xxhash.xxh3_64_hexdigest(data)}
    draft = Draft(POLICIES, followed.time_us, data, {**labels, **labels_of(followed)}, CONTENT_TYPE)
    await append(store, bucket, draft, "a policy", "fleetbox doctor")


async def read_policies(store: Store, bucket: str, start_us: int = 0) -> AsyncIterator[Followed]:
    """Yield the policies of a `meta` bucket from a stamp on, in order; none where it does not exist."""
    async for followed in _read(store, bucket, start_us, None):
        yield followed


async def policy_in_force(store: Store, bucket: str) -> Policy | None:
    """Return the policy that the robot of this `meta` follows, None where none is known or understood."""
    followed = await followed_now(store, bucket)
    return None if followed is None else _understood(followed)


async def followed_now(store: Store, bucket: str) -> Followed | None:
    """Return what came in force last in a `meta` bucket, at two small requests; None where nothing is told."""
    try:
        newest_us = next((info.latest_us for info in await store.entries(bucket) if info.name == POLICIES), None)
    except NotFound:
        return None
    if newest_us is None:
        return None
    try:
        return decode((await store.read(bucket, POLICIES, newest_us)).data)
    except (InputError, NotFound, StoreRefused):  # half-written, or somebody else's: the one before it holds
        return max([one async for one in read_policies(store, bucket)], key=lambda one: one.time_us, default=None)


async def policy_by_hash(store: Store, bucket: str, policy_hash: str) -> Policy | None:
    """Return the policy of this hash that the robot of this `meta` followed at some time, None when it is unknown."""
    when = {f"&{HASH}": {"$eq": policy_hash}}
    async for followed in _read(store, bucket, 0, when):
        if followed.hash == policy_hash and (policy := _understood(followed)) is not None:
            return policy
    return None


async def _read(store: Store, bucket: str, start_us: int, when: dict[str, Any] | None) -> AsyncIterator[Followed]:
    try:
        query = store.query(bucket, [POLICIES], start_us=start_us, when=when)
        async for record in query:
            if (followed := _decoded(record)) is not None:
                yield followed
    except NotFound:
        return


def _decoded(record: Record) -> Followed | None:
    try:
        return decode(record.data)
    except InputError as error:  # one foreign record must not hide all the others
        log.warning("record passed over", bucket=record.bucket, entry=record.entry, why=error.message)
        return None


def _understood(followed: Followed) -> Policy | None:
    try:
        return followed.policy
    except FleetboxError as error:
        log.warning(
            "a robot's policy is not understood here", robot=followed.robot, policy=followed.hash, why=str(error)
        )
        return None


@lru_cache(maxsize=256)  # a site asks for each of its robots every few seconds, and nearly all follow the same
def _parsed(text: str) -> Policy:
    return parse_policy(text)
