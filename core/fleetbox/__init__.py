"""Record, keep, ship and ask for robot data: `import fleetbox as fb`.

The names below live in the parts and are loaded on first use, so that importing
fleetbox costs nothing and core depends on no part.
"""

from __future__ import annotations

from importlib.metadata import entry_points, version
from typing import Any

from fleetbox.extras import missing_extra

__version__ = version("fleetbox")


def __getattr__(name: str) -> Any:
    """Load a public name from the part that registered it."""
    for entry in entry_points(group="fleetbox.api", name=name):
        try:
            value = entry.load()
        except ModuleNotFoundError as error:
            if (explained := missing_extra(error)) is None:
                raise
            raise ImportError(f"fleetbox.{name}: {explained}") from error
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fleetbox' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the module's names and those the installed parts add."""
    return sorted({*globals(), *(entry.name for entry in entry_points(group="fleetbox.api"))})
