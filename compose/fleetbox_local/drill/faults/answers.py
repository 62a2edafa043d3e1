"""Faults of whatever stands before the edge's store: a proxy that answers writes with a status of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fleetbox_local.drill.scene import Scene
from fleetbox_local.spoiler import Asked

MESSAGES = {
    403: "a drill: forbidden by the proxy",
    404: "a drill: the proxy knows no such path",
    413: "a drill: larger than the proxy lets through",
    422: "a drill: the proxy does not like these records",
    500: "a drill: the proxy has a bad day",
}
BODY_LIMIT_BYTES = 10_000  # below one picture: splitting the batch does not help


def refusing(status: int) -> Callable[[Scene], AbstractContextManager[None]]:
    """Return the fault in which writes are answered with a status; 413 only for large bodies, as a proxy would."""

    def chosen(asked: Asked) -> bool:
        return asked.writes and (status != 413 or asked.size > BODY_LIMIT_BYTES)

    @contextmanager
    def fault(scene: Scene) -> Iterator[None]:
        assert scene.proxy is not None, "this scenario's setting has a proxy"
        scene.proxy.answer(status, MESSAGES[status], chosen)
        try:
            yield
        finally:
            scene.proxy.behave()

    return fault
