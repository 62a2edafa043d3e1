"""Faults of the link between the robot and the edge."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fleetbox.errors import FleetboxError
from fleetbox_local.drill.scene import Scene

RESET_AFTER_BYTES = 12_000  # inside a picture, so in the middle of a request
RESET_S = 30.0  # for one reset: the source pauses between its tries, but never for so long
LOOK_S = 0.01


def resets(count: int) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault that resets all connections in mid-request, so many times in a row."""

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        for _ in range(count):
            seen, deadline = scene.link.resets, time.monotonic() + RESET_S
            scene.link.reset_after(RESET_AFTER_BYTES)
            while scene.link.resets == seen:
                if time.monotonic() > deadline:
                    raise FleetboxError(f"nothing passed the link for {RESET_S:.0f} s", "read the agent's log")
                time.sleep(LOOK_S)
        yield

    return fault


@contextmanager
def black_hole(scene: Scene) -> Iterator[None]:
    """Let the link swallow everything in silence; then let it pass again."""
    scene.link.hold()
    try:
        yield
    finally:
        scene.link.release()


@contextmanager
def cut(scene: Scene) -> Iterator[None]:
    """Cut the link: connections are reset, new ones refused; then join it again."""
    scene.link.cut()
    try:
        yield
    finally:
        scene.link.heal()


def slow(rtt_ms: float, loss: float) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault of a long link that loses packets."""

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        scene.link.set_rtt(rtt_ms)
        scene.link.set_loss(loss)
        try:
            yield
        finally:
            scene.link.set_rtt(0.0)
            scene.link.set_loss(0.0)

    return fault
