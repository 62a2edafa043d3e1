"""Make small frames of image streams, off the caller's thread, at most one per period."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from fleetbox.errors import InputError
from fleetbox.naming import PREVIEW
from fleetbox.settings import Policy
from fleetbox.settings.policy import Preview
from fleetbox.types import images

WAITING = 16  # pictures in the queue; beyond, the machine has no time for previews and they are left out
QUALITY = 70  # a thumbnail is looked at, not measured

Emit = Callable[[str, bytes, int, Mapping[str, Any] | None], None]


def shrink(data: bytes, size: tuple[int, int]) -> bytes:
    """Return the picture as a JPEG that fits into (width, height) with its proportions kept."""
    import cv2
    import numpy as np

    # A reduced decode reads a quarter of the coefficients; thumbnails lose nothing by it.
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_COLOR_2)
    if picture is None:
        raise InputError(f"{len(data)} bytes do not decode as a picture")
    height, width = picture.shape[:2]
    scale = min(size[0] / width, size[1] / height, 1.0)
    if scale < 1.0:
        wanted = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA)
    return images.encode(picture, QUALITY)


class Previewer:
    """Take every frame of every camera and emit the small ones that the policy asks for."""

    def __init__(self, policy: Callable[[], Policy], emit: Emit) -> None:
        self._policy, self._emit = policy, emit
        self._rules: dict[str, Preview | None] = {}
        self._next_us: dict[str, int] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="fleetbox-preview")
        self._work: set[Future[None]] = set()
        self.skipped = 0

    def take(self, stream: str, body: bytes, time_us: int, labels: Mapping[str, Any] | None) -> None:
        """Look at a frame; cheap unless one is due."""
        if stream not in self._rules:
            self._rules[stream] = self._rule(stream)
        rule = self._rules[stream]
        if rule is None:
            return
        next_us = self._next_us.get(stream, 0)
        if next_us - rule.every <= time_us < next_us:
            return
        self._next_us[stream] = time_us + rule.every
        if len(self._work) >= WAITING:
            self.skipped += 1
            return
        try:
            done = self._thread.submit(self._make, stream, body, time_us, labels, rule.size)
        except RuntimeError:  # closed from another thread
            self.skipped += 1
            return
        self._work.add(done)
        done.add_done_callback(self._work.discard)

    def learn(self) -> None:
        """Ask the policy anew, which has changed."""
        self._rules = {}

    def drain(self, timeout_s: float | None) -> None:
        """Wait until the frames taken so far are emitted."""
        wait(list(self._work), timeout_s)

    def close(self) -> None:
        """Stop; what waits is left out."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _rule(self, stream: str) -> Preview | None:
        return None if stream.endswith(f"/{PREVIEW}") else self._policy().rule_for(stream).preview

    def _make(
        self, stream: str, body: bytes, time_us: int, labels: Mapping[str, Any] | None, size: tuple[int, int]
    ) -> None:
        try:
            self._emit(f"{stream}/{PREVIEW}", shrink(body, size), time_us, labels)
        except InputError:
            self.skipped += 1  # a frame that does not decode, or a recorder that is closing
