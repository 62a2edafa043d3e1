"""Find out whether a selector chooses any stream that a place holds, so that a typing error is never balanced."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from fleetbox.errors import FleetboxError, NotFound
from fleetbox.naming import CLASSES
from fleetbox.selectors import Selector, matches_glob
from fleetbox.settings import FleetSettings
from fleetbox_replication.audit.one_robot import Question, asked_of
from fleetbox_replication.audit.reaching import Reached
from fleetbox_replication.census.scope import is_counted

NAMED = 5  # streams in the next step


async def streams_beside(fleet: FleetSettings, question: Question, reached: Reached, robots: Iterable[str]) -> set[str]:
    """Return the streams that the robots have if none of them is chosen, else an empty set.

    Empty as well for a selector of all streams, and while a place cannot be read: it may hold what is chosen.
    """
    glob, known = question.selector.stream, set[str]()
    if glob == "**":
        return known
    for robot in robots:
        for place in asked_of(fleet, question, robot):
            store = reached.stores.get(place.name)
            if store is None:
                return set()
            for cls in CLASSES:
                try:
                    entries = await store.entries(place.bucket(robot, cls))
                except NotFound:
                    continue
                except FleetboxError:
                    return set()
                known |= {info.name for info in entries if is_counted(cls, info.name)}
                if any(matches_glob(glob, name) for name in known):
                    return set()
    return known


def none_chosen(selector: Selector, known: Iterable[str]) -> NotFound:
    """Return the error of a selector that chooses none of the known streams, naming those most like it."""
    names = sorted(known)
    near = get_close_matches(selector.stream, names, NAMED) or names[:NAMED]
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return NotFound(f"no stream is known that {selector} chooses", f"known: {', '.join(near)}{more}; fleetbox ls")
