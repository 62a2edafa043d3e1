"""The engine's batch protocol (v1) as plain values: announced records, per-record errors, and where each body lies."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import xxhash

TIME = "x-reduct-time-"  # `x-reduct-time-<µs>: size,content type,label=value,...` announces one record
ERROR = "x-reduct-error-"  # `x-reduct-error-<µs>: status,message` refuses one record inside a 200
LABEL = "x-reduct-label-"  # one label of a record sent or read alone
BINARY = "application/octet-stream"  # what the engine takes an empty content type for


class WireError(ValueError):
    """A message that does not follow the protocol."""


@dataclass(frozen=True, slots=True)
class Part:
    """Announce one record of a batch; `header` is its header as it came, so that nothing is lost on the way out."""

    time_us: int
    size: int
    content_type: str
    labels: Mapping[str, str]
    header: str = field(compare=False)

    @property
    def xxh(self) -> str | None:
        """Return the payload's hash by its label, if it carries one."""
        return self.labels.get("xxh")


@dataclass(frozen=True, slots=True)
class RecordError:
    """Carry what the engine says about one record."""

    status: int
    message: str


def parse_part(time_us: int, header: str) -> Part:
    """Read the header of one record: size in bytes, content type, labels (quoted when they hold commas)."""
    size, comma, rest = header.partition(",")
    if not comma or not size.strip().isdigit():
        raise WireError(f"record {time_us}: header {header!r} does not start with a size")
    content_type, _, labels = rest.partition(",")
    return Part(time_us, int(size), content_type.strip() or BINARY, _labels(labels), header)


def make_part(time_us: int, size: int, content_type: str, labels: Mapping[str, str]) -> Part:
    """Announce a record from its facts."""
    shown = [f'{name}="{value}"' if "," in value else f"{name}={value}" for name, value in sorted(labels.items())]
    return Part(time_us, size, content_type or BINARY, dict(labels), ",".join([str(size), content_type, *shown]))


def parts_of(headers: Iterable[tuple[str, str]]) -> tuple[Part, ...]:
    """Return the records a request announces, oldest first: the order in which their bytes follow each other."""
    return tuple(parse_part(*item) for item in sorted(_numbered(headers, TIME)))


def errors_of(headers: Iterable[tuple[str, str]]) -> dict[int, RecordError]:
    """Return what a 200 refuses: time in µs -> error."""
    return {time_us: _error(text) for time_us, text in _numbered(headers, ERROR)}


def labels_of(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the labels of a record sent or read alone."""
    return {name[len(LABEL) :]: value for name, value in headers if name.lower().startswith(LABEL)}


def batch_headers(parts: Iterable[Part]) -> dict[str, str]:
    """Return the headers that announce these records."""
    return {f"{TIME}{part.time_us}": part.header for part in parts}


def label_headers(parts: Iterable[Part]) -> dict[str, str]:
    """Return the headers that set these records' labels (PATCH: no bytes follow)."""
    return batch_headers(make_part(part.time_us, 0, "", part.labels) for part in parts)


def error_headers(errors: Mapping[int, RecordError]) -> dict[str, str]:
    """Return the headers that refuse single records inside a 200."""
    return {f"{ERROR}{time_us}": f"{error.status},{error.message}" for time_us, error in errors.items()}


def slices(parts: Sequence[Part], body: bytes | bytearray) -> dict[int, memoryview]:
    """Find each record's bytes in a batch body: time in µs -> view.

    The engine puts a record that was written and relabelled before it could be sent into one batch twice: the headers
    collapse, the bytes do not, and every store answers 422. The hashes in the labels say which bytes came twice.
    """
    view = memoryview(body)
    if sum(part.size for part in parts) == len(view):
        starts = _starts_in_a_row(parts)
    else:
        starts = _starts_with_repeats(parts, view)
    return {part.time_us: view[start : start + part.size] for part, start in zip(parts, starts, strict=True)}


def _starts_in_a_row(parts: Sequence[Part]) -> list[int]:
    starts, offset = [], 0
    for part in parts:
        starts.append(offset)
        offset += part.size
    return starts


def _starts_with_repeats(parts: Sequence[Part], view: memoryview) -> list[int]:
    if len(view) < sum(part.size for part in parts) or any(part.xxh is None for part in parts):
        raise WireError(f"body of {len(view)} bytes does not match {len(parts)} announced records")

    @cache
    def fits(index: int, offset: int) -> bool:
        end = offset + parts[index].size
        return end <= len(view) and xxhash.xxh3_64_hexdigest(view[offset:end]) == parts[index].xxh

    def place(index: int, offset: int) -> list[int] | None:
        if index == len(parts):
            return [] if offset == len(view) else None
        while fits(index, offset):
            end = offset + parts[index].size
            rest = place(index + 1, end)
            if rest is not None:
                return [offset, *rest]
            if end == offset:
                return None
            offset = end  # the same record once more
        return None

    starts = place(0, 0)
    if starts is None:
        raise WireError(f"body of {len(view)} bytes does not follow the {len(parts)} announced records")
    return starts


def _numbered(headers: Iterable[tuple[str, str]], prefix: str) -> list[tuple[int, str]]:
    named = ((name[len(prefix) :], text) for name, text in headers if name.lower().startswith(prefix))
    try:
        return [(int(number), text) for number, text in named]
    except ValueError as error:
        raise WireError(f"a header {prefix}... does not end in a time in µs: {error}") from error


def _error(text: str) -> RecordError:
    status, _, message = text.partition(",")
    try:
        return RecordError(int(status), message.strip())
    except ValueError:
        return RecordError(500, text)  # an error nobody can read is still an error


def _labels(text: str) -> dict[str, str]:
    labels = {}
    while "=" in text:
        name, _, rest = text.partition("=")
        if rest.startswith('"'):
            value, quote, text = rest[1:].partition('"')
            if not quote:
                raise WireError(f"label {name!r}: no closing quote")
            text = text.lstrip(",")
        else:
            value, _, text = rest.partition(",")
        labels[name.strip()] = value.strip()
    return labels
