"""Faults of the link between the robot and the edge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fleetbox_local.drill.scene import Scene

RESET_EVERY = 15  # numbers between two resets: new records must be on their way each time
RESET_AFTER_BYTES = 12_000  # inside a picture, so in the middle of a request


def resets(count: int) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault that resets all connections in mid-request, so many times in a row."""

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        before = scene.link.resets
        while scene.link.resets - before < count:
            scene.link.reset_after(RESET_AFTER_BYTES)
            scene.writer.wait_for(RESET_EVERY)
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
