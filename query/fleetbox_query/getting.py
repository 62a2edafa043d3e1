"""Find the record nearest to a time for `fleetbox get`, and show it or save it as a file."""

from __future__ import annotations

import json
import mimetypes
import sys
from pathlib import Path
from typing import Any

from fleetbox import chunks
from fleetbox.errors import InputError
from fleetbox.time import iso_time, show_duration
from fleetbox_query.fleet import Fleet
from fleetbox_query.items import Item
from fleetbox_query.nearest import Nearest
from fleetbox_query.plain import plain_item, plain_value, printable
from fleetbox_query.question import Question
from fleetbox_query.saving import written_whole
from fleetbox_query.selection import Selection

_EXTENSIONS = {"image/jpeg": ".jpg", "text/plain": ".txt", chunks.CONTENT_TYPE: ".json"}  # mimetypes says .jpe, .asc


def find(fleet: Fleet, question: Question, at: str) -> Nearest:
    """Return the nearest row or blob."""
    return Selection(fleet.session, question).at(at)


def as_dict(found: Nearest) -> dict[str, Any]:
    """Return what was found as plain values; bytes in base64."""
    return {"record": plain_item(found.item), "off_us": found.off_us, "place": found.place}


def distance_text(off_us: int) -> str:
    """Say how far a record lies from the time asked for."""
    if not off_us:
        return "exactly then"
    return f"{show_duration(abs(off_us))} {'before' if off_us < 0 else 'after'} the time asked for"


def show(item: Item) -> None:
    """Print a row as name = value, text and JSON as they are; other bytes only into a pipe."""
    if item.data is None:
        width = max(map(len, item.fields or {}), default=0)
        for name, value in (item.fields or {}).items():
            sys.stdout.write(f"{name:<{width}}  {_text(value)}\n")
    elif item.content_type.startswith("text/") or item.content_type == "application/json":
        sys.stdout.write(_readable(item) + "\n")
    elif sys.stdout.isatty():
        raise InputError(
            f"{len(item.data):,} bytes of {item.content_type} are not for a terminal",
            f"save them: -o {default_name(item)}",
        )
    else:
        sys.stdout.buffer.write(item.data)


def save(item: Item, target: Path) -> Path:
    """Write a blob's bytes, or a row as JSON, and return the path.

    A folder gets a file named after stream and time; a name without an extension gets the content type's.
    """
    path = target / default_name(item) if target.is_dir() else target
    if not path.suffix:
        path = path.with_name(path.name + extension(item.content_type))
    data = item.data
    if data is None:
        data = (json.dumps({name: plain_value(value) for name, value in (item.fields or {}).items()}) + "\n").encode()
    with written_whole(path) as part:
        part.write_bytes(data)
    return path


def default_name(item: Item) -> str:
    """Return a file name that says robot, stream and time."""
    stamp = iso_time(item.time_us).replace(":", "").replace("-", "")
    return f"{item.robot}_{item.stream.replace('/', '_')}_{stamp}".replace(".", "_") + extension(item.content_type)


def extension(content_type: str) -> str:
    """Return the file extension of a content type."""
    plain = content_type.partition(";")[0].strip()
    return _EXTENSIONS.get(plain) or mimetypes.guess_extension(plain) or ".bin"


def _readable(item: Item) -> str:
    text = (item.data or b"").decode(errors="replace")
    if sys.stdout.isatty():
        text = "\n".join(printable(line) for line in text.splitlines())
    if item.content_type != "application/json":
        return text
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except ValueError:
        return text


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    return "-" if value is None else printable(str(value))
