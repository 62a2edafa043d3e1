"""Say which features an episode has or could have: its robot's streams, and the fields of those."""

from __future__ import annotations

from collections.abc import Sequence

from fleetbox.episodes import Episode
from fleetbox.selectors import Selector
from fleetbox_query.episodes.finding import spans_of
from fleetbox_query.events import Where
from fleetbox_query.question import Question
from fleetbox_query.session import Session
from fleetbox_query.streams import Stream, list_streams


def features_known(session: Session, episodes: Sequence[Episode], where: Where) -> dict[str, list[str]]:
    """Return by id the features that an episode's streams have: "STREAM" and "STREAM:FIELD"."""
    robots = tuple(Selector(robot) for robot in sorted({one.robot for one in episodes}))
    streams = session.run(list_streams(session.stores, session.fleet, Question(robots), where))
    by_robot: dict[str, list[Stream]] = {}
    for stream in streams:
        if stream.cls != "meta":
            by_robot.setdefault(stream.robot, []).append(stream)
    return {one.id: _features(one, by_robot.get(one.robot, ())) for one in episodes}


def _features(episode: Episode, streams: Sequence[Stream]) -> list[str]:
    selectors = {span.selector for span in spans_of(episode, [Selector(episode.robot)])}
    shown = [one for one in streams if any(selector.matches(episode.robot, one.stream) for selector in selectors)]
    names = [name for one in shown for name in (one.stream, *(f"{one.stream}:{field}" for field in one.fields))]
    return [name for name in dict.fromkeys(names) if name not in episode.removed]
