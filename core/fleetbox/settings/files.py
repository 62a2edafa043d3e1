"""Settings files read and judged whole: every fault at once, with file, key and value."""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from fleetbox.errors import Fault, SettingsError
from fleetbox.settings.values import Typed
from fleetbox.time import show_duration

Model = TypeVar("Model", bound=BaseModel)
_BOUNDS = {"le": "at most", "lt": "less than", "ge": "at least", "gt": "more than"}
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file's tables; raise SettingsError when it is missing or not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError([Fault(str(path), "file", "", "is not there")], "see `fleetbox config sample`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([Fault(str(path), "file", "", f"cannot be read: {error}")]) from None
    except tomllib.TOMLDecodeError as error:
        raise SettingsError([Fault(str(path), "syntax", "", str(error))], "see `fleetbox config sample`") from None


def validate(
    model: type[Model], tables: Mapping[str, Any], path: Path, **context: Any
) -> tuple[Model | None, list[Fault]]:
    """Return the model, or None with every fault found."""
    try:
        return model.model_validate(tables, context={"folder": path.parent, **context}), []
    except ValidationError as error:
        return None, [_fault(path, item) for item in error.errors(include_url=False)]


def expand(value: Any, variables: Mapping[str, str]) -> Any:
    """Replace ${name} in all texts of a tree; an unknown name stays as it is and fails its own check."""
    if isinstance(value, str):
        return _VARIABLE.sub(lambda match: variables.get(match[1], match[0]), value)
    if isinstance(value, dict):
        return {key: expand(item, variables) for key, item in value.items()}
    return [expand(item, variables) for item in value] if isinstance(value, list) else value


def machine_variables() -> dict[str, str]:
    """Return the environment and `hostname` for ${...} in robot.toml."""
    return {**os.environ, "hostname": socket.gethostname().split(".")[0]}


def _fault(path: Path, item: Any) -> Fault:
    key = ".".join(str(part) for part in item["loc"]) or "file"
    kind, why = item["type"], str(item["msg"]).removeprefix("Value error, ")
    if kind == "extra_forbidden":
        why = "is not a known key"
    elif kind == "missing":
        return Fault(str(path), key, "", "is missing")
    given = item.get("input")
    if isinstance(given, Typed):
        given, why = given.text, _bounds(item.get("ctx", {})) or why
    shown = "(not shown)" if "token" in str(item["loc"][-1:]) else repr(given)
    return Fault(str(path), key, shown if len(shown) <= 80 else shown[:77] + "...", why)


def _bounds(limits: Mapping[str, Any]) -> str:
    """Return in which bounds a duration must lie, as people write one."""
    named = [f"{_BOUNDS[name]} {show_duration(limit)}" for name, limit in limits.items() if name in _BOUNDS]
    return f"should be {' and '.join(named)}" if named else ""
