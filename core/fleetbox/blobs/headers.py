"""The engine's batch protocol v2: records as HTTP headers, both ways.

Only the protocol is ours, because reduct-py 1.21 reads it wrongly: the body of a multi-entry answer is ordered by
entry and then time, its parser takes it as ordered by time, so the records of interleaved entries swap payloads.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote, unquote

from fleetbox.errors import StoreRefused
from fleetbox.labels import Labels
from fleetbox.records import Draft, Head

PREFIX = "x-reduct-"
ERROR_PREFIX = "x-reduct-error-"
LABEL_PREFIX = "x-reduct-label-"
OCTETS = "application/octet-stream"
_TCHARS = "!#$%&'*+-.^_`|~"  # characters the engine leaves as they are in a name


def encode_drafts(drafts: Sequence[Draft]) -> dict[str, str]:
    """Return the headers of a write; the drafts must be sorted by (entry, time) and their keys unique."""
    start_us = min(draft.time_us for draft in drafts)
    entries: list[str] = []
    names: dict[str, int] = {}
    headers: dict[str, str] = {}
    before: Draft | None = None
    for draft in drafts:
        if before is None or before.entry != draft.entry:
            entries.append(draft.entry)
            before = None
        value = _encode_record(draft, before, names)
        headers[f"{PREFIX}{len(entries) - 1}-{draft.time_us - start_us}"] = value
        before = draft
    return headers | _frame(entries, start_us, names)


def encode_times(times: Sequence[tuple[str, int]], labels: Labels | None = None) -> dict[str, str]:
    """Return the headers of a removal, or of an update that gives every record the same labels.

    Args: (entry, time in µs), sorted and unique. Same labels only: the engine reads a record's missing label as
    "delete it" when the record before it in the entry had one.
    """
    start_us = min(time_us for _, time_us in times)
    names = {name: index for index, name in enumerate(sorted(labels or {}))}
    delta = ",".join(f"{names[name]}={_quoted(value)}" for name, value in sorted((labels or {}).items()))
    value = f"0,{OCTETS},{delta}" if delta else f"0,{OCTETS}"
    entries: list[str] = []
    headers: dict[str, str] = {}
    for entry, time_us in times:
        if not entries or entries[-1] != entry:
            entries.append(entry)
        headers[f"{PREFIX}{len(entries) - 1}-{time_us - start_us}"] = value
    return headers | _frame(entries, start_us, names)


def decode_errors(headers: Mapping[str, str]) -> dict[tuple[str, int], tuple[int, str]]:
    """Return {(entry, time in µs): (status, message)} from the answer to a write, update or removal."""
    errors = [(name, value) for name, value in headers.items() if name.lower().startswith(ERROR_PREFIX)]
    if not errors:
        return {}
    entries = _entries(headers)
    start_us = int(headers[f"{PREFIX}start-ts"])
    found: dict[tuple[str, int], tuple[int, str]] = {}
    for name, value in errors:
        index, delta_us = name[len(ERROR_PREFIX) :].split("-")
        status, _, message = value.partition(",")
        found[entries[int(index)], start_us + int(delta_us)] = (int(status), message)
    return found


def decode_heads(bucket: str, headers: Mapping[str, str]) -> list[Head]:
    """Return the records of a read answer in the order of their payloads in its body: by entry, then time."""
    keyed: list[tuple[int, int, str]] = []
    cut = len(PREFIX)
    for name, value in headers.items():
        place, _, after = name[cut:].partition("-")
        if after.isdigit() and place.isdigit() and name[:cut].lower() == PREFIX:
            keyed.append((int(place), int(after), value))
    if not keyed:
        return []
    keyed.sort()
    entries = _entries(headers)
    start_us = int(headers[f"{PREFIX}start-ts"])
    names = [unquote(name) for name in headers.get(f"{PREFIX}labels", "").split(",")]
    heads: list[Head] = []
    before, kind, labels = -1, OCTETS, Labels()
    for index, delta_us, value in keyed:
        if index != before:
            before, kind, labels = index, OCTETS, Labels()
        size, _, rest = value.partition(",")
        if rest:  # what a record shares with the one before it in its entry is left out
            shown, _, ops = rest.partition(",")
            kind = shown or kind
            labels = _apply(ops, labels, names) if ops else labels
        heads.append(Head(bucket, entries[index], start_us + delta_us, int(size), labels, kind))
    return heads


def decode_single(bucket: str, entry: str, headers: Mapping[str, str]) -> Head:
    """Return the record described by the answer to a single read; the engine lower-cases label names here."""
    cut = len(LABEL_PREFIX)
    labels = {name[cut:].lower(): value for name, value in headers.items() if name.lower().startswith(LABEL_PREFIX)}
    return Head(
        bucket,
        entry,
        int(headers["x-reduct-time"]),
        int(headers["content-length"]),
        labels,
        headers.get("content-type", OCTETS),
    )


def _encode_record(draft: Draft, before: Draft | None, names: dict[str, int]) -> str:
    """Spell one record, leaving out what it shares with the one before it in its entry."""
    kind = draft.content_type or OCTETS
    old: Labels = {} if before is None else before.labels
    ops = [
        f"{names.setdefault(name, len(names))}={_quoted(value)}"
        for name, value in draft.labels.items()
        if old.get(name) != value
    ]
    ops += [f"{names.setdefault(name, len(names))}=" for name in old if name not in draft.labels]
    shown = kind if before is None or before.content_type != draft.content_type else ""
    if ops:
        return f"{len(draft.data)},{shown},{','.join(ops)}"
    return f"{len(draft.data)},{shown}" if shown else str(len(draft.data))


def _apply(ops: str, labels: Labels, names: Sequence[str]) -> Labels:
    """Return the labels after `INDEX=value` operations; an empty value removes, a value with commas is quoted."""
    changed = dict(labels)
    rest = ops
    while rest:
        key, _, rest = rest.partition("=")
        if rest.startswith('"'):
            value, _, rest = rest[1:].partition('"')
            rest = rest.removeprefix(",")
        else:
            value, _, rest = rest.partition(",")
        name = names[int(key)] if key.isdigit() else key
        if value:
            changed[name] = value
        else:
            changed.pop(name, None)
    return changed


def _frame(entries: Sequence[str], start_us: int, names: Mapping[str, int]) -> dict[str, str]:
    frame = {
        f"{PREFIX}entries": ",".join(quote(entry, safe=_TCHARS) for entry in entries),
        f"{PREFIX}start-ts": str(start_us),
        "Content-Type": OCTETS,
    }
    if names:
        frame[f"{PREFIX}labels"] = ",".join(quote(name, safe=_TCHARS) for name in names)
    return frame


def _entries(headers: Mapping[str, str]) -> list[str]:
    raw = headers.get(f"{PREFIX}entries", "")
    if not raw:
        raise StoreRefused("a store's answer names no entries: it is no ReductStore 1.18 or later", 0)
    return [unquote(name) for name in raw.split(",")]


def _quoted(value: str) -> str:
    return f'"{value}"' if "," in value else value
