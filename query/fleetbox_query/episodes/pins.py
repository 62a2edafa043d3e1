"""Pin and unpin several episodes: say in their revisions what was copied, before and after it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fleetbox.episodes import Episode, apply, change
from fleetbox.errors import InputError, NotFound
from fleetbox.person import person_here
from fleetbox.selectors import Selector
from fleetbox.settings import Place
from fleetbox_query.episodes.finding import find_episodes
from fleetbox_query.episodes.pinning import (
    Need,
    Pinned,
    Tell,
    as_pinned,
    check_room,
    choose_place,
    closed,
    copy,
    free,
    needs_of,
)
from fleetbox_query.episodes.writing import write_all
from fleetbox_query.events import Where
from fleetbox_query.question import EpisodeQuestion
from fleetbox_query.session import Session
from fleetbox_query.stores import places_for


def pin_all(session: Session, episodes: Sequence[Episode], where: Where, tell: Tell) -> list[Pinned]:
    """Pin episodes, all or none as far as room goes; raises Incomplete when `kept` cannot take them."""
    return session.run(_pin_all(session, [closed(one) for one in episodes], where, tell))


def unpin_all(session: Session, episodes: Sequence[Episode]) -> list[Pinned]:
    """Unpin episodes; raises InputError for one that is not pinned."""
    for one in episodes:
        if not one.pinned:
            raise InputError(f"episode {one.name} is not pinned", "`fleetbox episode ls` shows which are")
    return session.run(_unpin_all(session, episodes))


async def _pin_all(session: Session, episodes: Sequence[Episode], where: Where, tell: Tell) -> list[Pinned]:
    places = [await choose_place(session, one, where) for one in episodes]
    needs = [(await needs_of(session, one, place))[0] for one, place in zip(episodes, places, strict=True)]
    total = await _check_rooms(session, episodes, places, needs)
    told, done = [], 0
    for one, place in zip(episodes, places, strict=True):
        begun = await _say(session, one, {"records": 0, "bytes": 0, **one.pinned, "place": place.name})
        missing, one_told = await needs_of(session, one, place)  # one before it may have copied some of the same
        await copy(session, place, missing, one_told, lambda size, _, before=done: tell(before + size, total))  # type: ignore[misc]
        await _say(session, begun, as_pinned(one_told, one))
        done += one_told.size_bytes
        told.append(one_told)
    return told


async def _check_rooms(
    session: Session, episodes: Sequence[Episode], places: Sequence[Place], needs: Sequence[Sequence[Need]]
) -> int:
    """Raise Incomplete where some `kept` cannot take its part; return the bytes to copy. Records count once."""
    sizes: dict[tuple[str, str], dict[tuple[str, int], int]] = {}
    for one, place, some in zip(episodes, places, needs, strict=True):
        heads = {(head.entry, head.time_us): head.size for need in some for head in need.heads}
        sizes.setdefault((one.robot, place.name), {}).update(heads)
    by_name = {place.name: place for place in places}
    pinned = await _all_pinned(session)
    for (robot, name), heads in sizes.items():
        await check_room(session, robot, by_name[name], sum(heads.values()), pinned)
    return sum(sum(heads.values()) for heads in sizes.values())


async def _unpin_all(session: Session, episodes: Sequence[Episode]) -> list[Pinned]:
    told, going = [], {one.id for one in episodes}
    pinned = await _all_pinned(session)
    for one in episodes:
        place = _place(session, one)
        others = [
            other for other in pinned
            if other.id not in going and other.robot == one.robot and other.pinned.get("place") == place.name
        ]  # fmt: skip
        told.append(await free(session, one, place, others))
        await _say(session, one, {})
    return told


def _place(session: Session, episode: Episode) -> Place:
    route = places_for(session.fleet, [Selector(episode.robot)], None, None)
    name = str(episode.pinned.get("place", ""))
    for place in route:
        if place.name == name:
            return place
    raise NotFound(
        f"episode {episode.name} is pinned at {name}, which these settings do not know", "name its site there"
    )


async def _all_pinned(session: Session) -> list[Episode]:
    found = await find_episodes(session.stores, session.fleet, EpisodeQuestion(), Where())
    return [one for one in found.episodes if one.pinned]


async def _say(session: Session, episode: Episode, pinned: Mapping[str, object]) -> Episode:
    """Write how an episode is pinned now, and return it as it then is."""
    now_us = session.now_us()
    did = "pin" if pinned else "unpin"
    revision = change(episode, did, person_here(), now_us, pinned=dict(pinned))
    await write_all(session.stores, session.fleet, [revision], Where(), now_us)
    changed = apply(episode, revision)
    assert changed is not None
    return changed
