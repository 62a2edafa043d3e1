"""Make episodes: check them, see that their names are free, write their first revisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from fleetbox.episodes import Episode, check_name, first, new_episode
from fleetbox.errors import InputError
from fleetbox.events import Event
from fleetbox.labels import RESERVED, check_user_labels
from fleetbox_query.episodes.finding import find_episodes
from fleetbox_query.episodes.writing import write_all, writer_here
from fleetbox_query.events import Where
from fleetbox_query.question import EpisodeQuestion
from fleetbox_query.session import Session


def make_episodes(
    session: Session,
    wishes: Sequence[Episode],
    where: Where | None = None,
    tell: Callable[[int, int], None] = lambda done, total: None,
) -> list[Episode]:
    """Write new episodes and return them with their ids; raises InputError where one has such a name already."""
    if not wishes:
        raise InputError("there is nothing to make an episode of", "name a robot and a time, or events there are")
    where, now_us, by = where or Where(), session.now_us(), writer_here()
    made = [new_episode(replace(one, by=by, at_us=now_us)) for one in wishes]
    known = session.run(find_episodes(session.stores, session.fleet, EpisodeQuestion(), where))
    names = {one.name for one in known.episodes}
    for one in made:
        if one.name in names:
            raise InputError(f"there is an episode {one.name} already", "choose another name, or drop it first")
        names.add(one.name)
    session.run(write_all(session.stores, session.fleet, [first(one) for one in made], where, now_us, tell))
    return made


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
