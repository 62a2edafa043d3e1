"""Make episodes: check them, see that their names are free, write their first revisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from fleetbox.episodes import Episode, check_name, first, new_episode
from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.labels import RESERVED, check_user_labels
from fleetbox.person import person_here
from fleetbox.selectors import matches_glob
from fleetbox_query.episodes.editing import copy_of, numbered
from fleetbox_query.episodes.finding import find_episodes
from fleetbox_query.episodes.writing import Tell, untold, write_all
from fleetbox_query.events import Where
from fleetbox_query.question import EpisodeQuestion
from fleetbox_query.session import Session


def make_episodes(session: Session, wishes: Sequence[Episode], where: Where | None = None) -> list[Episode]:
    """Write new episodes and return them with their ids; raises InputError where one has such a name already."""
    if not wishes:
        raise InputError("there is nothing to make an episode of", "name a robot and a time, or events there are")
    now_us, by = session.now_us(), person_here()
    made = [new_episode(replace(one, by=by, at_us=now_us)) for one in wishes]
    names = Counter(one.name for one in made)
    if twice := [name for name, count in names.items() if count > 1]:
        raise _taken(twice[0])
    write_new(session, made, where or Where(), names.__contains__)
    return made


def copy_sets(
    session: Session, sets: Mapping[str, Sequence[Episode]], did: str, where: Where, tell: Tell = untold
) -> None:
    """Write copies of episodes as sets NAME/000000 on, in order, each of what it shows now."""
    by, now_us = person_here(), session.now_us()
    made = [
        one for name, some in sets.items() for one in numbered(name, some, lambda each: copy_of(each, did, by, now_us))
    ]
    write_new(session, made, where, lambda known: any(matches_glob(f"{name}/**", known) for name in sets), tell)


def write_new(
    session: Session, made: Sequence[Episode], where: Where, is_wanted: Callable[[str], bool], tell: Tell = untold
) -> None:
    """Write the first revisions of episodes; raises InputError where one that there is has a name that is wanted."""
    known = session.run(find_episodes(session.stores, session.fleet, EpisodeQuestion(), where))
    if taken := [one.name for one in known.episodes if is_wanted(one.name)]:
        raise _taken(taken[0])
    revisions = [first(one) for one in made]
    session.run(write_all(session.stores, session.fleet, revisions, where, session.now_us(), tell))


def from_events(name: str, events: Sequence[Event], streams: Sequence[str], note: str | None) -> list[Episode]:
    """Return an episode NAME/000000 on per event, with its interval, labels and, as its note, what it says."""
    check_name(name)
    return [
        Episode(
            "", f"{name}/{at:06d}", one.robot, ((one.start_us, one.stop_us + 1),), tuple(streams) or tuple(one.streams),
            note or one.note or one.kind.replace("_", " "), labels=_labels(one), parents=(f"event:{one.id}",),
        )
        for at, one in enumerate(events)
    ]  # fmt: skip


def _labels(event: Event) -> dict[str, str]:
    """Return the event's labels that may stand on an episode."""
    found: dict[str, str] = {}
    for name, text in {**event.labels, "kind": event.kind}.items():
        try:
            found |= check_user_labels({name: text}) if name not in RESERVED else {}
        except InputError:
            continue  # an event's labels are freer than a record's
    return found


def _taken(name: str) -> InputError:
    return InputError(f"there is an episode {name} already", "choose another name, or drop it first")
