"""Remember over restarts which orders were dealt with, how far desks were read, which policy was told of last."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import structlog

from fleetbox.disk import write_whole

log = structlog.get_logger()

FILE = "courier.json"
MOST_HANDLED = 2_000  # ids; a desk read anew from its beginning rarely holds more, and doing one twice does no harm

Cursor = tuple[int, int]  # records of an entry and its newest stamp in µs, as they were when it was read


@dataclass(frozen=True, slots=True)
class Said:
    """Hold what the robot answered last about its policy: for people at the robot."""

    state: str = ""
    reason: str = ""
    time_us: int = 0
    order: str = ""


@dataclass
class Memory:
    """Hold the courier's memory; `save` puts it on the disk. A lost one costs a second look at every order.

    `issued_us` is the oldest issue that may still be taken; `told` names the policy last written to `policies`.
    """

    path: Path
    handled: list[str] = field(default_factory=list)
    cursors: dict[str, Cursor] = field(default_factory=dict)
    issued_us: int = 0
    told: str = ""
    said: Said = Said()
    muted: str = ""  # why triggers may raise nothing

    @classmethod
    def at(cls, folder: Path) -> Memory:
        """Return what the folder holds; an empty memory where it holds none that can be read."""
        path = folder / FILE
        try:
            raw: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            cursors = {str(name): (int(cursor[0]), int(cursor[1])) for name, cursor in raw["cursors"].items()}
            handled = [str(name) for name in raw["handled"]]
            said, muted = Said(**raw["said"]), str(raw["muted"])
            return cls(path, handled, cursors, int(raw["issued_us"]), str(raw["told"]), said, muted)
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            log.warning("the courier's memory cannot be read; every order is looked at again", why=str(error))
            return cls(path)

    def handle(self, order: str) -> None:
        """Note that an order was dealt with."""
        if order and order not in self.handled:
            self.handled = [*self.handled, order][-MOST_HANDLED:]

    def save(self) -> None:
        """Put the memory on the disk; raises OSError."""
        raw = {
            "handled": self.handled, "cursors": self.cursors, "issued_us": self.issued_us, "told": self.told,
            "said": asdict(self.said), "muted": self.muted,
        }  # fmt: skip
        write_whole(self.path, json.dumps(raw), durable=True)
