"""Film each camera in a thread of its own: decode, count colours, encode; the reader goes on meanwhile."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleetbox.background import joined
from fleetbox.errors import InputError
from fleetbox.settings.lerobot import VideoRule
from fleetbox_query.lerobot.filming import Decoder, Film, even_size, levels_of
from fleetbox_query.lerobot.statistics import LEVELS
from fleetbox_query.lerobot.tracks import Unfit

AHEAD = 32  # pictures that wait for a camera's thread: about 2 MB of JPEGs
_END = object()


class Crew:
    """Turn the pictures of one camera into one film, in order; None repeats the picture before.

    episodes: for each frame which of the interval's episodes it belongs to. After `join`, `levels` holds the colour
    counts of each episode, `counted` over how many pictures, `missing` the frames without a picture of their own,
    `scaled` those that had another size.
    """

    def __init__(
        self, path: Path, fps: int, size: tuple[int, int] | None, rule: VideoRule, episodes: Sequence[int], every: int
    ) -> None:
        import numpy as np

        self.size = size
        self.missing = 0
        self.scaled = 0
        count = max(episodes, default=-1) + 1
        self.levels = np.zeros((count, 3, LEVELS), np.int64)
        self.counted = [0] * count
        self._episodes, self._every = episodes, every
        self._path, self._fps, self._rule = path, fps, rule
        self._decode = Decoder()
        self._queue: queue.Queue[Any] = queue.Queue(AHEAD)
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._last: tuple[bytes, Any, Any] | None = None
        self._thread = threading.Thread(target=self._work, name=f"film-{path.parent.name}", daemon=True)
        self._thread.start()

    def give(self, data: bytes | None) -> None:
        """Hand over the next frame's picture; waits while too many are queued, raises what the thread met."""
        while self._error is None:
            try:
                self._queue.put(data, timeout=0.1)
                return
            except queue.Full:
                continue
        raise self._error

    def join(self) -> None:
        """Wait for the film to be whole; raises what the thread met, Unfit when no picture could be shown."""
        self.give(_END)  # type: ignore[arg-type]
        joined(self._thread)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the thread, whatever is left to do."""
        self._stopped.set()
        joined(self._thread)

    def _work(self) -> None:
        try:
            self._film()
        except BaseException as error:  # given to whoever hands over the next picture
            self._error = error

    def _film(self) -> None:
        first, waiting = self._first()
        self.size = self.size or even_size(first[1])
        with Film(self._path, self._fps, self.size, self._rule) as film:
            self._last = first
            for _ in range(waiting):
                self._add(film)
            while (data := self._next()) is not _END:
                self._look(data)
                self._add(film)

    def _first(self) -> tuple[tuple[bytes, Any, Any], int]:
        """Return the first picture that opens, and for how many frames it stands."""
        waiting = 0
        while (data := self._next()) is not _END:
            waiting += 1
            self._look(data)
            if self._last is not None:
                return self._last, waiting
        raise Unfit("none of its pictures could be read")

    def _look(self, data: bytes | None) -> None:
        if self._last is not None and data is self._last[0]:
            return
        try:
            if data is None:
                raise InputError("the picture is gone")
            self._last = (data, self._decode(data), None)
        except InputError:
            self.missing += 1

    def _add(self, film: Film) -> None:
        if self._last is None:
            return
        data, frame, levels = self._last
        at, episode = film.frames, self._episodes[film.frames]
        self.scaled += even_size(frame) != self.size
        if at % self._every == 0 or not self.counted[episode]:
            levels = levels_of(frame) if levels is None else levels
            self.levels[episode] += levels
            self.counted[episode] += 1
            self._last = (data, frame, levels)
        film.add(frame)

    def _next(self) -> Any:
        while not self._stopped.is_set():
            try:
                return self._queue.get(timeout=0.1)
            except queue.Empty:
                continue
        raise InputError("filming was stopped")
