"""Make small frames of image streams, off the caller's thread, each size at its own rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from fleetbox.errors import InputError
from fleetbox.naming import SMALL, VIDEO, parent_of
from fleetbox.settings import Policy
from fleetbox.settings.policy import Small, small_of
from fleetbox.types import images
from fleetbox.types.picture_size import picture_size

WAITING = 16  # pictures in the queue; beyond, the machine has no time for previews and they are left out
QUALITY = 70  # small frames are looked at, not measured
REDUCED = (8, 4, 2)  # a decoder skips coefficients: at an eighth it reads a sixty-fourth of them

Emit = Callable[[str, bytes, int, Mapping[str, Any] | None], None]
Size = tuple[int, int]


def shrink(data: bytes, sizes: Sequence[Size]) -> list[bytes]:
    """Return the picture as JPEGs that fit into each (width, height) with its proportions kept, never enlarged."""
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), _flag(picture_size(data), sizes))
    if picture is None:
        raise InputError(f"{len(data)} bytes do not decode as a picture")
    return [images.encode(_fitted(picture, size), QUALITY) for size in sizes]


def _flag(given: Size | None, sizes: Sequence[Size]) -> int:
    """Return how far the decoder may reduce and still give each size all the pixels it has."""
    import cv2

    flags = {8: cv2.IMREAD_REDUCED_COLOR_8, 4: cv2.IMREAD_REDUCED_COLOR_4, 2: cv2.IMREAD_REDUCED_COLOR_2}
    for by in REDUCED if given else ():
        assert given is not None
        if all(max(given[0] / size[0], given[1] / size[1]) >= by for size in sizes):
            return flags[by]
    return cv2.IMREAD_COLOR


def _fitted(picture: Any, size: Size) -> Any:
    import cv2

    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    if scale >= 1.0:
        return picture
    wanted = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA)


@dataclass(slots=True)
class _Kind:
    """Hold what is made of one stream: the small frames' own stream, their rule, and when the next one is due."""

    stream: str
    rule: Small
    next_us: int = 0

    def is_due(self, time_us: int) -> bool:
        """Tell whether a frame of this time is the next one; also after a clock was set back."""
        return not self.next_us - self.rule.every <= time_us < self.next_us


class Previewer:
    """Take every frame of every camera and emit the small ones that the policy asks for."""

    def __init__(self, policy: Callable[[], Policy], emit: Emit) -> None:
        self._policy, self._emit = policy, emit
        self._kinds: dict[str, tuple[_Kind, ...]] = {}
        self._next_us: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fleetbox-preview")
        self._work: set[Future[None]] = set()
        self.skipped = 0

    def take(self, stream: str, body: bytes, time_us: int, labels: Mapping[str, Any] | None) -> None:
        """Look at a frame; cheap unless one is due."""
        kinds = self._kinds.get(stream)
        if kinds is None:
            kinds = self._kinds[stream] = self._kinds_of(stream)
        due = [kind for kind in kinds if kind.is_due(time_us)]
        if not due:
            return
        for kind in due:
            kind.next_us = self._next_us[kind.stream] = time_us + kind.rule.every
        if len(self._work) >= WAITING:
            self.skipped += len(due)
            return
        try:
            done = self._thread.submit(self._make, due, body, time_us, labels)
        except RuntimeError:  # closed from another thread
            self.skipped += len(due)
            return
        self._work.add(done)
        done.add_done_callback(self._work.discard)

    def learn(self) -> None:
        """Ask the policy anew, which has changed; what is due when stays as far as it is still asked for."""
        self._kinds = {}

    def drain(self, timeout_s: float | None) -> None:
        """Wait until the frames taken so far are emitted."""
        wait(list(self._work), timeout_s)

    def close(self) -> None:
        """Stop; what waits is left out."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _kinds_of(self, stream: str) -> tuple[_Kind, ...]:
        if parent_of(stream)[1] in (*SMALL, VIDEO):
            return ()
        rule = self._policy().rule_for(stream)
        wanted = {kind: small_of(rule, kind) for kind in SMALL}
        names = {f"{stream}/{kind}": small for kind, small in wanted.items() if small is not None}
        return tuple(_Kind(name, small, self._next_us.get(name, 0)) for name, small in names.items())

    def _make(self, due: Sequence[_Kind], body: bytes, time_us: int, labels: Mapping[str, Any] | None) -> None:
        try:
            for kind, small in zip(due, shrink(body, [kind.rule.size for kind in due]), strict=True):
                self._emit(kind.stream, small, time_us, labels)
        except InputError:
            self.skipped += len(due)  # a frame that does not decode, or a recorder that is closing
