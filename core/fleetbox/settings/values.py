"""Value types that settings files share: sizes, durations, secrets, names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from fleetbox.errors import InputError
from fleetbox.selectors import Selector
from fleetbox.settings.secrets import Secret
from fleetbox.time import parse_duration

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)B")
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kKMGT]?)(bit|B)/s")
_SCALE = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


LEAST_RATE = 8_000  # bytes a second; a store gives up on a body that pauses for 30 s


class Table(BaseModel):
    """Read one table of a settings file; unknown keys are faults, values cannot change later."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def parse_size(value: Any) -> int:
    """Return bytes from text such as "200 GB" (SI units, as the engine counts) or from a whole number."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and (match := _SIZE.fullmatch(value.strip())):
        return round(float(match[1]) * _SCALE[match[2]])
    raise ValueError("write a size like '200 GB' or '500 MB'")


def parse_rate(value: Any) -> int:
    """Return bytes per second from text such as "8 Mbit/s" or "1 MB/s" (SI units)."""
    if isinstance(value, str) and (match := _RATE.fullmatch(value.strip())):
        rate = float(match[1]) * _SCALE[match[2]] / (8 if match[3] == "bit" else 1)
        if rate >= LEAST_RATE:
            return round(rate)
        raise ValueError("is too little to keep a connection alive: the least is '64 kbit/s'")
    raise ValueError("write a rate like '8 Mbit/s' or '1 MB/s'")


class Typed(int):
    """Hold the µs of a duration together with how it was typed, for faults; models keep whole numbers."""

    text: str


def _duration_us(value: Any) -> int:
    if not isinstance(value, str):
        raise ValueError("write a duration like '10s', '500ms' or '1h30m'")
    typed = Typed(_explained(parse_duration, value))
    typed.text = value
    return typed


def _secret(value: Any, info: ValidationInfo) -> Secret:
    if isinstance(value, Secret):
        return value
    if isinstance(value, dict) and len(value) == 1 and all(isinstance(text, str) and text for text in value.values()):
        if "env" in value:
            return Secret(env=value["env"])
        if "file" in value:
            return Secret(file=folder_of(info) / value["file"])
    raise ValueError('secrets stand in files or the environment: write { file = "..." } or { env = "..." }')


def folder_of(info: ValidationInfo) -> Path:
    """Return the folder of the file being read: relative paths in it start there."""
    return Path((info.context or {}).get("folder", "."))


def checked(check: Any) -> Any:
    """Make a pydantic validator of a check that raises InputError."""
    return BeforeValidator(lambda value: _explained(check, value))


def _explained(check: Any, value: Any) -> Any:
    try:
        return check(value)
    except InputError as error:
        raise ValueError(f"{error.message}; {error.next_step}" if error.next_step else error.message) from None


def _streams(value: Any) -> Selector:
    if isinstance(value, Selector):
        return value
    found = _explained(Selector.parse, value) if isinstance(value, str) else None
    if not isinstance(found, Selector) or found.field is not None:
        raise ValueError("write streams like 'r1/imu' or 'wh1-*/joints/*'; all fields of a row go together")
    return found


def _url(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", value):
        raise ValueError("write a URL like 'https://edge-1.local:8383'")
    return value.rstrip("/")


def _path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, str | Path) or not str(value):
        raise ValueError("write a path")
    return folder_of(info) / Path(value).expanduser()


Bytes = Annotated[int, BeforeValidator(parse_size)]
Rate = Annotated[int, BeforeValidator(parse_rate)]
DurationUs = Annotated[int, BeforeValidator(_duration_us)]
SecretRef = Annotated[Secret, BeforeValidator(_secret)]
StreamsRef = Annotated[Selector, BeforeValidator(_streams)]
Url = Annotated[str, BeforeValidator(_url)]
FilePath = Annotated[Path, BeforeValidator(_path)]
