"""Episodes: named views of a robot's records, kept as append-only revisions in `meta` and folded by readers.

An episode holds no record: it says which streams of a robot in which intervals, and what is said of them. The robot
writes its revisions into the stream `episodes`, people at a site into `episodes/<site>`. A revision says only what
it changes, so that a robot that closes an episode and a person who labels it do not overwrite one another.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import xxhash

from fleetbox.errors import InputError
from fleetbox.labels import check_user_labels
from fleetbox.naming import check_robot
from fleetbox.selectors import Selector
from fleetbox.time import check_time, iso_time, show_duration

STREAM = "episodes"
ENTRIES = (STREAM, f"{STREAM}/*")  # the robot's own revisions and those made at each site
DEFAULTS = ("timestamp", "frame_index", "episode_index", "index", "task_index")  # LeRobot's own: in every dataset
MAX_NAME_CHARS = 120  # a name stands in file names and on one line of a table
MAX_NOTE_CHARS = 2_000  # as an event's
ID_BITS = 60  # of a million episodes two have the same id once in two million fleets
MAX_INTERVALS = 1_000  # each is read by itself

State = Literal["open", "closed", "dropped"]
Interval = tuple[int, int]  # [start, stop) in µs since the epoch
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: no i, l, o, u to misread
_NAME = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*")
_OWN = ("id", "robot", "version", "revisions", "did", "by", "at_us")  # what a revision says by itself


@dataclass(frozen=True, slots=True)
class Episode:
    """Hold an episode as its revisions tell it; times in µs since the epoch, intervals are [start, stop).

    `streams` are STREAM[:FIELD] globs of the robot, `removed` takes some of them away; `computed` maps
    "STREAM:NAME" to an arithmetic expression over that stream's fields. While it is `open` its last interval ends
    now. `version` counts its changes; `parents` names what it was made of: "event:ID", "ID@VERSION".
    """

    id: str
    name: str
    robot: str
    intervals: tuple[Interval, ...]
    streams: tuple[str, ...] = ("**",)
    note: str = ""  # the task in words
    success: bool | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    computed: Mapping[str, str] = field(default_factory=dict)
    removed: tuple[str, ...] = ()
    fps: float | None = None
    robot_type: str = ""
    state: State = "closed"
    parents: tuple[str, ...] = ()
    pinned: Mapping[str, Any] = field(default_factory=dict)  # place, records, bytes; empty when it is not
    version: int = 1
    revisions: int = 1  # more than `version` where two changed it at once
    did: str = "new"  # what the last revision did, and who made it when
    by: str = ""
    at_us: int = 0

    def __repr__(self) -> str:
        parts = f"{len(self.intervals)} intervals, " if len(self.intervals) > 1 else ""
        length = "open" if self.state == "open" else show_duration(self.length_us)
        ended = {True: ["success"], False: ["failed"], None: []}[self.success]
        said = [f"{parts}{length}", *ended, *([self.note] if self.note else [])]
        return f"Episode({self.name}@{self.version} of {self.robot} from {iso_time(self.start_us)}, {', '.join(said)})"

    @property
    def start_us(self) -> int:
        """Return where its first interval begins."""
        return self.intervals[0][0]

    @property
    def stop_us(self) -> int:
        """Return where its last interval ends; of an open one, where it began."""
        return self.intervals[-1][1]

    @property
    def length_us(self) -> int:
        """Return the sum of its intervals."""
        return sum(stop - start for start, stop in self.intervals)

    @property
    def reference(self) -> str:
        """Return "ID@VERSION", by which this very state is found again."""
        return f"{self.id}@{self.version}"

    @property
    def digest(self) -> str:
        """Return a hash of what it shows: two states with the same one export the same."""
        shown = {name: getattr(self, name) for name in _SHOWN}
        return xxhash.xxh3_64_hexdigest(json.dumps(shown, sort_keys=True, default=dict).encode())

    def until(self, now_us: int) -> Episode:
        """Return the episode with an open interval ended now."""
        if self.state != "open":
            return self
        start = self.intervals[-1][0]
        return replace(self, intervals=(*self.intervals[:-1], (start, max(start + 1, now_us))))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "digest": self.digest}


@dataclass(frozen=True, slots=True)
class Revision:
    """Hold one change of an episode: fields that get a new value, labels that do (None takes one away)."""

    id: str
    robot: str
    version: int
    at_us: int
    did: str
    by: str = ""
    set: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str | None] = field(default_factory=dict)


_SHOWN = ("robot", "intervals", "streams", "note", "success", "labels", "computed", "removed", "fps", "robot_type")
_FIELDS = frozenset(one.name for one in fields(Episode)) - frozenset((*_OWN, "labels"))


def new_episode(episode: Episode, bits: Callable[[int], int] = secrets.randbits) -> Episode:
    """Return the episode checked, with an id when it has none, and with its id in its name when that is empty.

    Raises InputError for a name, robot, interval, stream or label that cannot be.
    """
    check_robot(episode.robot)
    intervals = checked_intervals(episode.intervals, is_open=episode.state == "open")
    if len(episode.note) > MAX_NOTE_CHARS:
        raise InputError(f"a note of {len(episode.note)} characters", f"use at most {MAX_NOTE_CHARS}")
    for text in episode.streams:
        Selector.parse(f"{episode.robot}/{text}")
    labels = check_user_labels(episode.labels)
    slug = _slug(episode.note) or "episode"
    made = episode.id or f"{slug}-{_random_text(bits)}"
    name = check_name(episode.name or made)
    return replace(episode, id=made, name=name, intervals=intervals, labels=labels)


def check_name(name: str) -> str:
    """Return the name of an episode; raises InputError for one that cannot be."""
    if not isinstance(name, str) or len(name) > MAX_NAME_CHARS or not _NAME.fullmatch(name):
        raise InputError(
            f"episode name {name!r} is not usable",
            f"use up to {MAX_NAME_CHARS} of A-Z a-z 0-9 _ . - in segments parted by '/', such as picks/0001",
        )
    return name


def checked_intervals(intervals: Iterable[Interval], *, is_open: bool = False) -> tuple[Interval, ...]:
    """Return intervals in order with those that touch joined; raises InputError for none, or one of no length.

    is_open: the last one has no end yet, and may have no length.
    """
    out: list[Interval] = []
    for start, stop in sorted((int(start), int(stop)) for start, stop in intervals):
        check_time(start)
        check_time(stop)
        if start > stop or (start == stop and not is_open):
            raise InputError("an episode ends before it starts, or has no length", "give --start before --stop")
        if out and start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], stop))
        else:
            out.append((start, stop))
    if not out:
        raise InputError("an episode without an interval", "give --start and --stop, or an event")
    if len(out) > MAX_INTERVALS:
        raise InputError(f"an episode of {len(out)} intervals", f"make it of at most {MAX_INTERVALS}")
    return tuple(out)


def first(episode: Episode) -> Revision:
    """Return the revision that begins an episode."""
    said = {name: getattr(episode, name) for name in _FIELDS}
    told = {name: value for name, value in said.items() if value != _EMPTY[name]}
    return Revision(episode.id, episode.robot, 1, episode.at_us, episode.did, episode.by, told, dict(episode.labels))


def change(episode: Episode, did: str, by: str, now_us: int, **to: Any) -> Revision:
    """Return the revision that changes an episode; `labels` are merged, None takes one away.

    Raises InputError for labels and names that cannot be.
    """
    labels: dict[str, str | None] = dict(to.pop("labels", {}))
    check_user_labels({name: text for name, text in labels.items() if text is not None})
    if unknown := to.keys() - _FIELDS:
        raise InputError(f"an episode has no {', '.join(sorted(unknown))}", f"use {', '.join(sorted(_FIELDS))}")
    if "name" in to:
        check_name(to["name"])
    return Revision(episode.id, episode.robot, episode.version + 1, now_us, did, by, to, labels)


def apply(episode: Episode | None, revision: Revision) -> Episode | None:
    """Return the episode as a revision changes it; None stays where the one that began it has not come."""
    if episode is None:
        if revision.version != 1:
            return None
        try:
            episode = Episode(revision.id, revision.set["name"], revision.robot, (), revisions=0)
        except KeyError:
            return None
    labels = {**episode.labels, **revision.labels}
    to = {name: _typed(name, value) for name, value in revision.set.items() if name in _FIELDS}
    return replace(
        episode,
        **to,
        labels={name: text for name, text in labels.items() if text is not None},
        version=max(episode.version, revision.version),
        revisions=episode.revisions + 1,
        did=revision.did,
        by=revision.by,
        at_us=revision.at_us,
    )


def fold(revisions: Iterable[Revision], upto: int | None = None) -> dict[str, Episode]:
    """Fold revisions into episodes by id, each revision once however many places told it.

    upto: as they were at this version. Changes made upon the same version all count, in order of time; one that is
    closed or dropped is not opened again by a change that did not know of it.
    """
    return {key: episode for key, some in by_episode(revisions).items() if (episode := _folded(some, upto)) is not None}


def by_episode(revisions: Iterable[Revision]) -> dict[str, list[Revision]]:
    """Return each episode's revisions in their order, each once."""
    found: dict[str, dict[tuple[int, int, str, str], Revision]] = {}
    for one in revisions:
        found.setdefault(one.id, {})[one.version, one.at_us, one.by, one.did] = one
    return {key: [some[at] for at in sorted(some)] for key, some in found.items()}


def _folded(revisions: Sequence[Revision], upto: int | None) -> Episode | None:
    episode: Episode | None = None
    for one in revisions:
        if upto is None or one.version <= upto:
            episode = apply(episode, one)
    return episode if episode is not None and episode.intervals else None


def encode(revisions: Sequence[Revision]) -> bytes:
    """Return the JSON of one record, which may hold many revisions."""
    said = [{name: value for name in _WRITTEN if (value := getattr(one, name)) not in ("", {})} for one in revisions]
    return json.dumps({"episodes": said}, ensure_ascii=False, separators=(",", ":"), default=dict).encode()


def decode(data: bytes) -> list[Revision]:
    """Read a record's revisions; unknown keys of a later version are passed over, missing ones raise InputError."""
    try:
        return [
            Revision(**{name: one[name] for name in _WRITTEN if name in one}) for one in json.loads(data)["episodes"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are no episodes: {error}") from error


def _typed(name: str, value: Any) -> Any:
    """Turn JSON's lists back into tuples."""
    if name == "intervals":
        return tuple((int(start), int(stop)) for start, stop in value)
    return tuple(value) if isinstance(value, list) else value


def _random_text(bits: Callable[[int], int]) -> str:
    """Return noise as text: copies of an episode begin at the same moment, so that no time tells them apart."""
    number = bits(ID_BITS)
    return "".join(_DIGITS[(number >> shift) & 31] for shift in range(0, ID_BITS, 5))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()[:40].rstrip("-")


_WRITTEN = tuple(one.name for one in fields(Revision))
_EMPTY: dict[str, Any] = {
    "name": "", "intervals": (), "streams": ("**",), "note": "", "success": None, "computed": {}, "removed": (),
    "fps": None, "robot_type": "", "state": "closed", "parents": (), "pinned": {},
}  # fmt: skip
