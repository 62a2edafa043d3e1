"""Pin episodes: copy what they show from the rings of one place into its `kept`, and give it back."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace

from fleetbox.blobs import Store
from fleetbox.episodes import Episode
from fleetbox.errors import Incomplete, InputError, NotFound, StoreRefused
from fleetbox.labels import PIN
from fleetbox.naming import RING_CLASSES
from fleetbox.quotas import bucket_spec
from fleetbox.records import Draft, Head
from fleetbox.selectors import Selector
from fleetbox.settings import Place
from fleetbox_query.episodes.horizon import shows
from fleetbox_query.events import Where
from fleetbox_query.inventory import Holding, take_inventory
from fleetbox_query.plan import FAR_US
from fleetbox_query.schemas import read_schemas
from fleetbox_query.session import Session
from fleetbox_query.stores import places_for

KEPT = "kept"
BATCH_BYTES, BATCH_RECORDS = 4_000_000, 80  # half of what the engine takes at once

Tell = Callable[[int, int], None]  # bytes done, of how many


@dataclass(slots=True)
class Pinned:
    """Say what a pin copied, or freed: records and bytes; `already` were there, `clashes` could not be copied."""

    place: str = ""
    records: int = 0
    size_bytes: int = 0
    already: int = 0
    clashes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Need:
    """Hold what must be copied of one stream of one class: heads by time."""

    holding: Holding
    heads: list[Head]

    @property
    def size_bytes(self) -> int:
        """Return the bytes to copy."""
        return sum(head.size for head in self.heads)


async def choose_place(session: Session, episode: Episode, where: Where) -> Place:
    """Return where an episode is pinned: the last site of its robot's route that holds any of it, or the one asked for.

    Raises InputError for a robot whose records a site holds: its guard gives back what a site has.
    """
    asked = [Selector(episode.robot)]
    route = places_for(session.fleet, asked, None, None)
    has_site = any(place.tier != "robot" for place in route)
    if where.tier == "robot" and has_site:
        raise InputError(
            f"{episode.robot} gives back what its site has, so nothing stays pinned there", "pin at a site: --site NAME"
        )
    chosen = [
        one for one in places_for(session.fleet, asked, where.tier, where.site) if one.tier != "robot" or not has_site
    ]
    inventory = await take_inventory(session.stores, chosen, asked)
    holding = {one.place.url for one in inventory.holdings if _is_held(episode, one)}
    held = [place for place in inventory.reached if place.url in holding]
    if not held:
        names = ", ".join(place.name for place in inventory.reached) or "no place"
        step = f"bring it there first: fleetbox pull '{episode.robot}/**' --start T --stop T"
        raise NotFound(f"{names} holds nothing of episode {episode.name}", step)
    return max(held, key=lambda place: (place.tier == "cloud", place.next is None))


async def needs_of(session: Session, episode: Episode, place: Place) -> tuple[list[Need], Pinned]:
    """Return what a pin has to copy, from heads alone, and what is there already or stands in the way."""
    store, told = await session.stores.at(place), Pinned(place.name)
    inventory = await take_inventory(session.stores, [place], [Selector(episode.robot)])
    holdings = [one for one in inventory.holdings if _is_held(episode, one)]
    schemas = await read_schemas(session.stores, holdings)
    kept, needs = place.bucket(episode.robot, KEPT), []
    for one in holdings:
        bound = schemas[one.key].bound_us
        there = {head.time_us: head async for head in _heads(store, kept, one.stream, episode, bound)}
        heads = [head async for head in _heads(store, one.bucket, one.stream, episode, bound)]
        missing = [head for head in heads if head.time_us not in there]
        told.already += sum(1 for head in heads if head.time_us in there and _same(head, there[head.time_us]))
        told.clashes += [
            f"{one.stream} at {head.time_us}: another record of kept stands there"
            for head in heads if head.time_us in there and not _same(head, there[head.time_us])
        ]  # fmt: skip
        if missing:
            needs.append(Need(one, missing))
    return needs, told


async def check_room(session: Session, robot: str, place: Place, size_bytes: int, pinned: Sequence[Episode]) -> None:
    """Raise Incomplete, saying what to unpin, when `kept` has no room for so much more."""
    store, kept = await session.stores.at(place), place.bucket(robot, KEPT)
    spec = await store.bucket_spec(kept)
    if spec is None or spec.quota_type != "HARD":
        return
    left = spec.quota_bytes - (await store.bucket_sizes()).get(kept, 0)
    if size_bytes <= left:
        return
    there = [one for one in pinned if one.robot == robot and one.pinned.get("place") == place.name]
    there.sort(key=lambda one: -int(one.pinned.get("bytes", 0)))
    said = ", ".join(f"{one.name} ({int(one.pinned.get('bytes', 0)) / 1e6:.1f} MB)" for one in there[:5])
    step = f"unpin some of: {said}" if said else f"give `kept` of {robot} more room at {place.name}"
    raise Incomplete(
        f"{kept} at {place.name} has {max(0, left) / 1e6:.1f} MB left, {size_bytes / 1e6:.1f} MB are needed; "
        "nothing was copied", f"{step}; fleetbox episode unpin NAME --yes",
    )  # fmt: skip


async def copy(session: Session, place: Place, needs: Sequence[Need], told: Pinned, tell: Tell) -> None:
    """Copy what is needed into `kept`, naming what the ring lets go of meanwhile; raises Incomplete when it is full."""
    store = await session.stores.at(place)
    total, done = sum(need.size_bytes for need in needs), 0
    for need in needs:
        kept = place.bucket(need.holding.robot, KEPT)
        await store.ensure_bucket(kept, await store.bucket_spec(kept) or bucket_spec(KEPT))
        await _copy_attachments(store, need.holding, kept)
        wanted = {head.time_us for head in need.heads}
        batch: list[Draft] = []
        size = 0
        start, stop = need.heads[0].time_us, need.heads[-1].time_us + 1
        async for record in store.query(need.holding.bucket, (need.holding.stream,), start_us=start, stop_us=stop):
            if record.time_us not in wanted:
                continue
            wanted.discard(record.time_us)
            labels = {**record.labels, PIN: "1"}
            batch.append(Draft(record.entry, record.time_us, record.data, labels, record.content_type))
            size += record.size
            if size >= BATCH_BYTES or len(batch) >= BATCH_RECORDS:
                await _write(store, kept, batch, told)
                done += size
                tell(done, total)
                batch, size = [], 0
        await _write(store, kept, batch, told)
        done += size
        tell(done, total)
        told.clashes += [f"{need.holding.stream} at {at}: it left the ring meanwhile" for at in sorted(wanted)]


async def free(session: Session, episode: Episode, place: Place, others: Sequence[Episode]) -> Pinned:
    """Take a pin's copies out of `kept`, but for those that another pinned episode shows too."""
    store, told = await session.stores.at(place), Pinned(place.name)
    kept = place.bucket(episode.robot, KEPT)
    inventory = await take_inventory(session.stores, [place], [Selector(episode.robot)])
    holdings = [one for one in inventory.holdings if one.cls == KEPT and shows(episode, one.stream)]
    schemas = await read_schemas(session.stores, holdings)
    for one in holdings:
        bound = schemas[one.key].bound_us
        needed: set[int] = set()
        for other in others:
            if shows(other, one.stream):
                needed |= {head.time_us async for head in _heads(store, kept, one.stream, other, bound)}
        heads = [
            head async for head in _heads(store, kept, one.stream, episode, bound)
            if head.labels.get(PIN) and head.time_us not in needed
        ]  # fmt: skip
        told.records += await store.delete(kept, one.stream, [head.time_us for head in heads]) if heads else 0
        told.size_bytes += sum(head.size for head in heads)
    return told


async def _write(store: Store, kept: str, batch: Sequence[Draft], told: Pinned) -> None:
    if not batch:
        return
    report = await store.write(kept, batch)
    refused = {id(draft) for draft, _, _ in report.refused}
    told.records += len(batch) - len(refused)
    told.size_bytes += sum(len(draft.data) for draft in batch if id(draft) not in refused)
    for draft, status, message in report.refused:
        if "quota" in message or "exceeded" in message:
            raise Incomplete(
                f"{kept} is full: {message}; {told.records} records were copied", "fleetbox episode unpin NAME --yes"
            )
        told.clashes.append(f"{draft.entry} at {draft.time_us}: {status} {message}")


async def _copy_attachments(store: Store, holding: Holding, kept: str) -> None:
    """Let what describes a stream stand beside its pinned records too."""
    try:
        own = await store.attachments(holding.bucket, holding.stream)
        held = await store.attachments(kept, holding.stream)
        for name, value in own.items():
            if name not in held:
                await store.write_attachment(kept, holding.stream, name, value)
    except (NotFound, StoreRefused):
        return  # a stream without a schema reads as well


async def _heads(store: Store, bucket: str, stream: str, episode: Episode, bound_us: int) -> AsyncIterator[Head]:
    """Yield the heads of a stream's records that reach into an episode, each once, in order of time."""
    reached = 0
    for start, stop in episode.intervals:
        query = store.query(
            bucket, (stream,), start_us=max(reached, start - bound_us, 0), stop_us=min(stop, FAR_US), head=True
        )
        try:
            async for head in query:
                last = head.labels.get("t_end", "")
                if (int(last) if last.isdecimal() else head.time_us) >= start:
                    reached = head.time_us + 1
                    yield head
        except NotFound:
            return


def _is_held(episode: Episode, one: Holding) -> bool:
    reaches = one.entry.latest_us >= episode.start_us - 3_600_000_000 and one.entry.oldest_us < episode.stop_us
    return one.cls in RING_CLASSES and reaches and shows(episode, one.stream)


def _same(head: Head, other: Head) -> bool:
    return head.size == other.size and head.labels.get("xxh") == other.labels.get("xxh")


def as_pinned(told: Pinned, before: Episode) -> dict[str, object]:
    """Return what a revision says of a pin: its copies and those of an attempt before it."""
    earlier = before.pinned if before.pinned.get("place") == told.place else {}
    return {
        "place": told.place,
        "records": told.records + int(earlier.get("records", 0)),
        "bytes": told.size_bytes + int(earlier.get("bytes", 0)),
    }


def closed(episode: Episode) -> Episode:
    """Return the episode; raises InputError for one that is still recorded."""
    if episode.state == "open":
        raise InputError(f"episode {episode.name} is still recorded", "stop it first: fleetbox record stop")
    return replace(episode)
