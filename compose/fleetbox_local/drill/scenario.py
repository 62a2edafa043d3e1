"""One fault and what is expected of it, as data."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import PLAIN, Setting

Fault = Callable[[Scene], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Name a fault, say what it does and how it ends, and how much is written before, during and after it.

    The fault is a context manager over a scene: it holds while the block runs. `words` is a regular expression that
    one finding of `doctor` must hold while it does; None for a fault that is over at once. `loses`: records may be
    lost for good, and the books must name exactly these.
    """

    name: str
    group: str
    does: str
    ends: str
    fault: Fault
    words: str | None = None
    setting: Setting = PLAIN
    before: int = 60
    during: int = 200
    after: int = 60
    quick: bool = False
    loses: bool = False
    gap: bool = False  # the writer itself is killed: it starts anew, and a number may be written twice
