"""Record an episode live: begun with a note, ended with how it went; one at a time on a robot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from fleetbox.blobs import Store
from fleetbox.episode_books import read_revisions
from fleetbox.episodes import Episode, Revision, change, first, fold, new_episode
from fleetbox.errors import InputError, NotFound
from fleetbox.labels import check_user_labels

Put = Callable[[Revision], None]
STOP = "stop it: fleetbox record stop --success or --fail"


class LiveEpisode:
    """Hold an episode that is being recorded; a context manager that ends it.

    An exception within the block ends it as failed. What is set on it meanwhile stands in it at the end.

    Example:
        with rec.episode("pick cup", labels={"operator": "ann"}) as ep:
            run()
            ep.success = True
    """

    def __init__(self, episode: Episode, put: Put, now_us: Callable[[], int], *, begun: bool = False) -> None:
        self.success: bool | None = None
        self.labels: dict[str, object] = {}
        self._episode, self._put, self._now_us = episode, put, now_us
        self._ended = False
        if not begun:
            put(first(episode))

    @property
    def id(self) -> str:
        """Return its id."""
        return self._episode.id

    @property
    def name(self) -> str:
        """Return its name."""
        return self._episode.name

    @property
    def ended(self) -> bool:
        """Tell whether it has been stopped."""
        return self._ended

    def stop(self, success: bool | None = None) -> None:
        """End it now; calling it again does nothing. Raises InputError for a label that cannot be, and then goes on."""
        if self._ended:
            return
        labels = check_user_labels(self.labels)
        went = self.success if success is None else success
        self._put(ended(self._episode, self._now_us(), self._episode.by, went, labels))
        self._ended = True

    def __enter__(self) -> LiveEpisode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(False if error is not None and self.success is None else None)


def begun(
    robot: str,
    note: str,
    now_us: int,
    by: str,
    *,
    name: str = "",
    streams: Sequence[str] = ("**",),
    labels: Mapping[str, object] | None = None,
) -> Episode:
    """Return an episode that begins now, checked; its name is its id unless one is given. Raises InputError."""
    if not isinstance(note, str) or not note.strip():
        raise InputError("an episode without a note", 'say what it is, such as "pick cup"')
    globs = (streams,) if isinstance(streams, str) else tuple(streams)
    given = check_user_labels(labels or {})
    wish = Episode(
        "", name, robot, ((now_us, now_us),), globs, note.strip(), labels=given, state="open", by=by, at_us=now_us
    )
    return new_episode(wish)


def ended(
    episode: Episode, now_us: int, by: str, success: bool | None, labels: Mapping[str, str] | None = None
) -> Revision:
    """Return the revision that ends an open episode."""
    start = episode.intervals[-1][0]
    intervals = (*episode.intervals[:-1], (start, max(start + 1, now_us)))
    to: dict[str, object] = {"intervals": intervals, "state": "closed"}
    if success is not None:
        to["success"] = success
    return change(episode, "stop", by, now_us, labels=dict(labels or {}), **to)


async def open_episodes(store: Store, bucket: str, robot: str) -> list[Episode]:
    """Return the robot's episodes that are being recorded, the oldest first."""
    try:
        known = fold(await read_revisions(store, bucket)).values()
    except NotFound:
        return []
    return sorted((one for one in known if one.robot == robot and one.state == "open"), key=lambda one: one.start_us)


def check_none_open(found: Sequence[Episode]) -> None:
    """Raise InputError when an episode is being recorded: one at a time on a robot."""
    if found:
        one = found[-1]
        raise InputError(f"episode {one.name} ({one.note}) of {one.robot} is still being recorded", STOP)
