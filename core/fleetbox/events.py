"""Events: intervals with a kind, kept as append-only revisions in `meta` and folded by readers.

A revision is one record of the stream `events`, written by whoever marked the event or by the robot's
labeler, or of `events/<site>`, written by that site's labeler: two writers never share an entry.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import structlog
import xxhash

from fleetbox.appending import append
from fleetbox.errors import InputError, NotFound, StoreRefused
from fleetbox.labels import Labels
from fleetbox.naming import SMALL, check_robot
from fleetbox.records import Draft, Record
from fleetbox.time import check_time, iso_time, show_duration

if TYPE_CHECKING:
    from fleetbox.blobs import Store

log = structlog.get_logger()

STREAM = "events"
ENTRIES = (STREAM, f"{STREAM}/*")  # the robot's own revisions and those of each site's labeler
TYPE = "event"
CONTENT_TYPE = "application/json"
RESOLUTIONS = ("original", *SMALL)  # how fine an event takes pictures
TARGETS = ("robot", "edge", "cloud")  # how far what an event keeps travels
MAX_KIND_CHARS = 40
MAX_NOTE_CHARS = 2_000
NOISE_BITS = 24  # one pull is an event of the same moment on each of a hundred robots: two alike in 3,000 such pulls
LONGEST_US = 420_000_000  # µs; the longest window a policy may ask for, before and after
CUT_US = 1_000_000  # µs; what came once a second reaches back to the start, though its first record lies within

State = Literal["open", "labelled"]
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's base32: sorts as numbers do, no i, l, o, u to misread


@dataclass(frozen=True, slots=True)
class Event:
    """Hold one event as its latest revisions tell it; times in µs since the epoch.

    `labelled` counts per stream the window's records that were selected when the window closed;
    `oldest_us` names per stream the oldest record the ring still held.
    """

    id: str
    kind: str
    robot: str
    time_us: int
    start_us: int
    stop_us: int
    streams: tuple[str, ...] = ("**",)
    note: str = ""
    policy: str = ""
    state: State = "open"
    labelled: Mapping[str, int] = field(default_factory=dict)
    oldest_us: Mapping[str, int] = field(default_factory=dict)
    by: str = ""
    resolution: str = "original"  # the finest of each picture stream that is taken
    to: str = "cloud"  # robot: to its disk only; edge: no further than the next site
    trigger: str = ""  # the rule that raised it; "" when somebody did
    labels: Mapping[str, str] = field(default_factory=dict)  # what to find it by: severity, lat and lon, an operator

    def __repr__(self) -> str:
        before, after = show_duration(self.time_us - self.start_us), show_duration(self.stop_us - self.time_us)
        said = [f"{before} before to {after} after", self.state, *([self.note] if self.note else [])]
        return f"Event({self.id}: {self.kind} on {self.robot} at {iso_time(self.time_us)}, {', '.join(said)})"

    def cut_streams(self) -> dict[str, int]:
        """Return the streams whose ring no longer reached the window's start: stream -> oldest record in µs."""
        return {stream: oldest for stream, oldest in self.oldest_us.items() if self.is_cut_by(oldest)}

    def is_cut_by(self, oldest_us: int) -> bool:
        """Tell whether a stream that begins then lacks some of the window: more than a second of it."""
        return oldest_us > self.start_us + CUT_US


def new_event(event: Event, bits: Callable[[int], int] = secrets.randbits) -> Event:
    """Return the event with a checked kind, robot, interval, resolution and reach, and an id when it has none.

    A window that reaches back before 1970 begins there; any other time that no store can hold raises InputError.
    """
    if len(event.kind) > MAX_KIND_CHARS or not _KIND.fullmatch(event.kind):
        raise InputError(
            f"event kind {event.kind!r} is not usable",
            f"use up to {MAX_KIND_CHARS} of A-Z a-z 0-9 _ -, starting with a letter, such as hard_brake",
        )
    check_robot(event.robot)
    check_time(event.time_us)
    check_time(event.stop_us)
    event = replace(event, start_us=max(0, event.start_us))
    if not event.start_us <= event.time_us <= event.stop_us:
        raise InputError(f"event {event.kind!r} does not lie within its own interval", "give --pre and --post >= 0")
    for name, value, known in (("resolution", event.resolution, RESOLUTIONS), ("to", event.to, TARGETS)):
        if value not in known:
            raise InputError(f"an event with {name} {value!r}", f"use one of {', '.join(known)}")
    if len(event.note) > MAX_NOTE_CHARS:
        raise InputError(f"a note of {len(event.note)} characters", f"use at most {MAX_NOTE_CHARS}")
    if not all(isinstance(text, str) for pair in event.labels.items() for text in pair):
        raise InputError(f"an event's labels {dict(event.labels)!r} are not all text", "give names and texts")
    return event if event.id else replace(event, id=make_id(event.kind, event.time_us, bits(NOISE_BITS)))


def make_id(kind: str, time_us: int, noise: int) -> str:
    """Make an id that sorts by time within its kind: "hard-brake-1f3k...", noise parts equal stamps."""
    number, digits = (time_us << NOISE_BITS) | (noise & (1 << NOISE_BITS) - 1), ""
    while number > 0:  # a negative number never becomes 0 by halving
        number, low = divmod(number, 32)
        digits = _DIGITS[low] + digits
    return f"{kind.replace('_', '-').lower()}-{digits.rjust(15, '0')}"


def encode(event: Event) -> bytes:
    """Return the revision's JSON."""
    return json.dumps(asdict(event), ensure_ascii=False, separators=(",", ":")).encode()


def decode(data: bytes) -> Event:
    """Read a revision; unknown keys of a later version are passed over, missing ones raise InputError."""
    try:
        raw: dict[str, Any] = json.loads(data)
        known = {name: raw[name] for name in Event.__dataclass_fields__ if name in raw}
        return Event(**{**known, "streams": tuple(raw.get("streams", ("**",)))})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{len(data)} bytes are not an event: {error}") from error


def draft(event: Event, now_us: int, site: str = "") -> Draft:
    """Return the record that writes a revision; its labels let readers pick events without their bodies."""
    data = encode(event)
    labels: Labels = {
        "robot": event.robot,
        "type": TYPE,
        "event": event.id,
        "kind": event.kind,
        "state": event.state,
        "xxh": xxhash.xxh3_64_hexdigest(data),
    }
    return Draft(f"{STREAM}/{site}" if site else STREAM, now_us, data, labels, CONTENT_TYPE)


def fold(revisions: Iterable[tuple[str, int, Event]]) -> list[Event]:
    """Fold revisions, given as (entry, time_us, event), into one event per id, ordered by event time.

    The last revision of the stream `events` stands; a site's last revision adds its counts and what it held.
    A closed event stays closed, even where a clock that was set back stamped the closing before the opening.
    """
    latest: dict[tuple[str, str], Event] = {}
    for entry, _, event in sorted(revisions, key=lambda revision: (revision[2].state == "labelled", revision[1])):
        latest[event.id, entry] = event
    folded: dict[str, Event] = {}
    for (key, entry), event in sorted(latest.items(), key=lambda item: item[0][1] != STREAM):
        folded[key] = event if entry == STREAM or key not in folded else _joined(folded[key], event)
    return sorted(folded.values(), key=lambda event: (event.time_us, event.id))


def _joined(robot: Event, site: Event) -> Event:
    streams = {*robot.labelled, *site.labelled}
    counts = {name: max(robot.labelled.get(name, 0), site.labelled.get(name, 0)) for name in streams}
    return replace(robot, labelled=counts, oldest_us={**site.oldest_us, **robot.oldest_us})


async def write_event(store: Store, bucket: str, event: Event, now_us: int, site: str = "") -> Draft:
    """Append a revision to a `meta` bucket and return it as written; a taken stamp moves on by 1 µs.

    Raises StoreRefused when the store keeps refusing, Unreachable when it does not answer.
    """
    step = f"fleetbox doctor {event.robot}"
    try:
        return await append(store, bucket, draft(event, now_us, site), f"event {event.id}", step)
    except StoreRefused as error:
        if "exceeded" not in error.message:  # the engine's word for a full bucket; no status of its own stands for it
            raise
        step = f"raise or lift the quota of bucket {bucket} (an agent gives `meta` none), then mark again; {step}"
        raise StoreRefused(error.message, error.status, step) from error


async def read_events(
    store: Store, buckets: Sequence[str], *, start_us: int = 0, stop_us: int | None = None
) -> list[Event]:
    """Return the folded events of the given `meta` buckets whose interval meets [start_us, stop_us).

    A bucket that does not exist holds no events.
    """
    revisions = [item for bucket in buckets async for item in _revisions(store, bucket, start_us)]
    return [
        event
        for event in fold(revisions)
        if event.stop_us >= start_us and (stop_us is None or event.start_us < stop_us)
    ]


async def _revisions(store: Store, bucket: str, start_us: int) -> AsyncIterator[tuple[str, int, Event]]:
    # A revision is written after the moment it tells of: what meets the interval began one longest window earlier.
    earliest = max(0, start_us - LONGEST_US)
    try:
        async for record in store.query(bucket, ENTRIES, start_us=earliest):
            if (event := _decoded(record)) is not None:
                yield record.entry, record.time_us, event
    except NotFound:
        return


def _decoded(record: Record) -> Event | None:
    try:
        return decode(record.data)
    except InputError as error:  # one foreign record in the stream must not hide every event
        log.warning("event passed over", bucket=record.bucket, time_us=record.time_us, why=error.message)
        return None
