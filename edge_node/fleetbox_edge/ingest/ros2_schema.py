"""Read ROS 2 message definitions: which leaves a message has, of which type and shape."""

from __future__ import annotations

import re
from dataclasses import dataclass

INTEGERS = frozenset({"byte", "char", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"})
FLOATS = frozenset({"float32", "float64"})
PRIMITIVES = INTEGERS | FLOATS | {"bool", "string", "wstring"}
BYTE_KINDS = frozenset({"byte", "char", "int8", "uint8"})

_RULE = re.compile(r"^=+\s*$", re.MULTILINE)
_FIELD = re.compile(r"^(?P<type>\S+)\s+(?P<name>[A-Za-z]\w*)\s*(?P<rest>.*)$")
_TYPE = re.compile(r"^(?P<base>[\w/]+)(<=\d+)?(?P<array>\[(?P<bound><=)?(?P<size>\d*)\])?$")


@dataclass(frozen=True, slots=True)
class Field:
    """Hold one field: a primitive or the definition of another message, and its array length.

    array: None for a single value, a number for a fixed length, 0 for a varying one.
    """

    name: str
    base: str
    array: int | None

    @property
    def primitive(self) -> bool:
        """Tell numbers, truth values and text from nested messages."""
        return self.base in PRIMITIVES


Definitions = dict[str, tuple[Field, ...]]


def parse_definitions(name: str, text: str) -> tuple[str, Definitions]:
    """Return the root message's name and all definitions as "package/Type" -> fields; raises ValueError."""
    root = short_name(name)
    sections = [section.strip("\n") for section in _RULE.split(text)]
    definitions: Definitions = {root: _fields(sections[0], root.split("/")[0])}
    for section in sections[1:]:
        title, _, body = section.partition("\n")
        if not title.startswith("MSG:"):
            raise ValueError(f"a definition begins with {title!r}, not with MSG:")
        key = short_name(title.removeprefix("MSG:").strip())
        definitions[key] = _fields(body, key.split("/")[0])
    time = (Field("sec", "int32", None), Field("nanosec", "uint32", None))
    definitions.setdefault("builtin_interfaces/Time", time)
    definitions.setdefault("builtin_interfaces/Duration", time)
    return root, definitions


def short_name(name: str) -> str:
    """Return "package/Type" for "package/msg/Type"."""
    parts = name.split("/")
    return f"{parts[0]}/{parts[-1]}"


def _fields(text: str, package: str) -> tuple[Field, ...]:
    fields = []
    for line in text.splitlines():
        match = _FIELD.match(line.partition("#")[0].strip())
        if match and not match["rest"].startswith("="):  # NAME=VALUE is a constant, not a field
            fields.append(_field(match["type"], match["name"], package))
    return tuple(fields)


def _field(text: str, name: str, package: str) -> Field:
    match = _TYPE.match(text)
    if not match:
        raise ValueError(f"field {name} has the type {text!r}, which is not known")
    base = match["base"]
    if base not in PRIMITIVES:
        base = short_name(base) if "/" in base else "std_msgs/Header" if base == "Header" else f"{package}/{base}"
    array = None if match["array"] is None else 0 if match["bound"] or not match["size"] else int(match["size"])
    return Field(name, base, array)
