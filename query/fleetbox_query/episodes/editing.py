"""Decide what changes an episode or a set of them: the rules of LeRobot's tools, on views; pure, no record is read."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from fleetbox.episodes import DEFAULTS, Episode, check_name, checked_intervals, new_episode
from fleetbox.errors import InputError
from fleetbox_query.episodes.computing import check_computed

Part = float | Sequence[int]
NOISE = 1e-9  # fractions are typed: 0.7 + 0.2 + 0.1 is not exactly 1


def split_parts(count: int, parts: Mapping[str, Part]) -> dict[str, list[int]]:
    """Return which of `count` episodes go into each named part, by index in order.

    A part is a fraction or a list of indexes. Fractions take from the front in the order given, and the last takes
    the remainder where they add up to 1. Raises InputError for parts that overlap, are empty, or add up to more.
    """
    if not parts or not count:
        raise InputError("nothing to split", "name episodes, and parts such as train=0.8 val=0.2")
    for name in parts:
        check_name(name)
    shares = [part for part in parts.values() if isinstance(part, int | float)]
    if shares and len(shares) < len(parts):
        raise InputError("fractions beside lists of indexes", "give either for all parts")
    found = _by_shares(count, parts) if shares else _by_indexes(count, parts)  # type: ignore[arg-type]
    if empty := [name for name, some in found.items() if not some]:
        raise InputError(f"part {empty[0]!r} of {count} episodes would be empty", "give it a larger part")
    return found


def _by_shares(count: int, parts: Mapping[str, float]) -> dict[str, list[int]]:
    if any(not 0 < share <= 1 for share in parts.values()):
        raise InputError("a fraction is not between 0 and 1", "give parts such as train=0.8 val=0.2")
    total = sum(parts.values())
    if total > 1 + NOISE:
        raise InputError(f"the fractions add up to {total:g}, more than 1", "make them smaller")
    at, found = 0, {}
    for name, share in parts.items():
        stop = min(count, at + int(count * share + NOISE))
        found[name] = list(range(at, stop))
        at = stop
    if total > 1 - NOISE:
        last = next(reversed(found))
        found[last] = list(range(found[last][0] if found[last] else at, count))
    return found


def _by_indexes(count: int, parts: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    taken: dict[int, str] = {}
    for name, some in parts.items():
        for at in some:
            if not 0 <= at < count:
                raise InputError(f"there is no episode {at} of {count}", f"indexes go from 0 to {count - 1}")
            if at in taken:
                raise InputError(f"episode {at} would be in {taken[at]!r} and {name!r}", "each may be in one part")
            taken[at] = name
    return {name: sorted(some) for name, some in parts.items()}


def numbered(prefix: str, episodes: Sequence[Episode], make: Callable[[Episode], Episode]) -> list[Episode]:
    """Return copies as episodes of their own, named prefix/000000 on in order, each with its parent and version."""
    check_name(prefix)
    return [make(replace(one, name=f"{prefix}/{at:06d}")) for at, one in enumerate(episodes)]


def copy_of(episode: Episode, did: str, by: str, now_us: int) -> Episode:
    """Return an episode that shows the same as another one's present state, checked, with an id of its own."""
    if episode.state == "open":
        raise InputError(f"episode {episode.name} is still recorded", "stop it first: fleetbox record stop")
    made = replace(
        episode, id="", parents=(episode.reference,), did=did, by=by, at_us=now_us, version=1, revisions=1, pinned={},
        state="closed",
    )  # fmt: skip
    return new_episode(made)


def check_alike(episodes: Sequence[Episode]) -> None:
    """Raise InputError unless all have the same fps, robot type and features, as LeRobot's merge asks for."""
    if not episodes:
        raise InputError("nothing to merge", "name episodes")
    first = episodes[0]
    for one in episodes[1:]:
        for name, mine, other in (
            ("fps", first.fps, one.fps),
            ("robot_type", first.robot_type, one.robot_type),
            ("features", features_of(first), features_of(one)),
        ):
            if mine != other:
                raise InputError(
                    f"{first.name} and {one.name} cannot be merged: {name} {_short(mine)} is not {_short(other)}",
                    "make them alike: fleetbox episode features, fleetbox episode label --fps, --robot-type",
                )


def features_of(episode: Episode) -> dict[str, object]:
    """Return what decides which features an episode has."""
    return {
        "streams": sorted(episode.streams), "removed": sorted(episode.removed), "computed": dict(episode.computed),
    }  # fmt: skip


def _short(value: object) -> str:
    text = "none" if value in (None, "") else str(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def cut_at(episode: Episode, times_us: Sequence[int], by: str, now_us: int) -> list[Episode]:
    """Return the pieces of an episode cut at moments, named NAME/000000 on; raises InputError for one outside it."""
    bounds = sorted(set(times_us))
    for at in bounds:
        if not any(start < at < stop for start, stop in episode.intervals):
            raise InputError(f"{episode.name} cannot be cut where it has nothing", "give --at within its intervals")
    edges = [episode.start_us, *bounds, episode.stop_us]
    pieces = []
    for start, stop in pairwise(edges):
        inside = [(max(a, start), min(b, stop)) for a, b in episode.intervals if a < stop and b > start]
        pieces.append(replace(copy_of(episode, "split", by, now_us), id="", intervals=tuple(inside)))
    return numbered(episode.name, pieces, new_episode)


def joined(name: str, episodes: Sequence[Episode], by: str, now_us: int) -> Episode:
    """Return one episode with the intervals of several of the same robot; raises InputError for unlike ones."""
    check_alike(episodes)
    if len({one.robot for one in episodes}) > 1:
        raise InputError("episodes of several robots cannot become one", "merge them into a set: leave out --joined")
    intervals = checked_intervals(span for one in episodes for span in one.intervals)
    made = copy_of(episodes[0], "merge", by, now_us)
    notes = dict.fromkeys(one.note for one in episodes if one.note)
    successes = {one.success for one in episodes}
    return new_episode(
        replace(
            made, id="", name=name, intervals=intervals, parents=tuple(one.reference for one in episodes),
            note="; ".join(notes), success=successes.pop() if len(successes) == 1 else None,
            labels=_shared([one.labels for one in episodes]),
        )
    )  # fmt: skip


def _shared(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return {name: text for name, text in labels[0].items() if all(one.get(name) == text for one in labels)}


def without(episode: Episode, name: str, known: Sequence[str]) -> dict[str, object]:
    """Return what removes a feature: "STREAM", "STREAM:FIELD" or a computed one; raises InputError where it has none.

    known: the features it could have, "STREAM" and "STREAM:FIELD".
    """
    if name in DEFAULTS or name.rpartition(":")[2] in DEFAULTS:
        raise InputError(
            f"feature {name!r} is one of LeRobot's own and cannot be removed", f"keep {', '.join(DEFAULTS)}"
        )
    if name in episode.computed:
        return {"computed": {key: text for key, text in episode.computed.items() if key != name}}
    stream = name.rpartition(":")[0]
    unsaid = stream in known and not any(one.startswith(f"{stream}:") for one in known)  # it may have any field
    if name in episode.removed or not (unsaid or any(fnmatch.fnmatchcase(one, name) for one in known)):
        there = ", ".join(one for one in known if one not in episode.removed)
        raise InputError(f"{episode.name} has no feature {name!r}", f"it has {_short(there) if there else 'none'}")
    return {"removed": (*episode.removed, name)}


def with_computed(episode: Episode, name: str, text: str, known: Sequence[str]) -> dict[str, object]:
    """Return what adds a computed feature "STREAM:NAME"; raises InputError for one there is, or unknown fields."""
    stream, colon, own = name.rpartition(":")
    if not colon or not stream or not own.isidentifier():
        raise InputError(f"feature {name!r} is not STREAM:NAME", "write it like 'odom:speed=sqrt(vx*vx + vy*vy)'")
    if own in DEFAULTS or name in known or name in episode.computed:
        raise InputError(f"{episode.name} has a feature {name!r} already", "give the new one another name")
    fields = {one.rpartition(":")[2] for one in known if one.rpartition(":")[0] == stream}
    for field in check_computed(text):
        if fields and field not in fields:  # a stream without a schema may have any
            there = ", ".join(sorted(fields)) or "no field"
            raise InputError(f"{text!r} reads {field!r}, which {stream} has not", f"{stream} has {there}")
    return {"computed": {**episode.computed, name: text}}


def brought_back(episode: Episode, name: str) -> dict[str, object]:
    """Return what brings a removed feature back; raises InputError for one that was not removed."""
    if name not in episode.removed:
        removed = ", ".join(episode.removed) or "nothing"
        raise InputError(f"feature {name!r} of {episode.name} was not removed", f"removed: {removed}")
    return {"removed": tuple(one for one in episode.removed if one != name)}
