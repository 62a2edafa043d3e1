"""Keep rollouts at the site where they were begun: revisions in bucket `desk`, entry `rollouts/<writer>`."""

from __future__ import annotations

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.blobs import Store
from fleetbox.errors import InputError, NotFound
from fleetbox.naming import SITE_DESK
from fleetbox.orders import CONTENT_TYPE
from fleetbox.records import Draft
from fleetbox_cloud.desk.rollouts import Rollout, decode, encode, fold

log = structlog.get_logger()

ROLLOUTS = "rollouts"


async def write_rollout(store: Store, rollout: Rollout, writer: str, now_us: int) -> None:
    """Append a revision; raises NotFound where the site has no desk, StoreRefused, Unreachable."""
    data = encode(rollout)
    labels = {
        "type": "json", "policy": rollout.policy, "state": rollout.state, "xxh": xxhash.xxh3_64_hexdigest(data),
    }  # fmt: skip
    draft = Draft(f"{ROLLOUTS}/{writer}", now_us, data, labels, CONTENT_TYPE)
    await append(store, SITE_DESK, draft, f"rollout {rollout.id} of {store.name}")


async def read_rollouts(store: Store) -> list[Rollout]:
    """Return all rollouts begun at a site, oldest first; none where it has no desk."""
    found = []
    try:
        async for record in store.query(SITE_DESK, [f"{ROLLOUTS}/*"], start_us=0):
            try:
                found.append((record.time_us, decode(record.data)))
            except InputError as error:  # one foreign record must not hide the others
                log.warning("rollout passed over", entry=record.entry, time_us=record.time_us, why=error.message)
    except NotFound:
        return []
    return fold(found)


async def find_rollout(store: Store, name: str) -> Rollout:
    """Return the one rollout whose id ends with a text, else the newest whose policy's hash begins with it.

    Raises NotFound when there is none, or more than one id.
    """
    every = await read_rollouts(store)
    found = [one for one in every if one.id.endswith(name)]
    if len(found) != 1 and (same := [one for one in every if one.policy.startswith(name)]):
        found = same[-1:]
    if name and len(found) == 1:
        return found[0]
    known = ", ".join(one.id for one in every[-5:]) or "none"
    raise NotFound(
        f"{f'{len(found)} rollouts match' if found else 'no rollout matches'} {name!r} at {store.name}",
        f"the latest there: {known}; see `fleetbox policy status`",
    )
