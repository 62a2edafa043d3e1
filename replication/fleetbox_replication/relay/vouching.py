"""What an answer of the destination means for a batch: the relay's decisions, without I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from fleetbox_replication.wire import Part

LAZY_BYTES = 512 * 1024  # below it the engine writes at the end only, so a cut write can never wake up again
SMALL_GRACE_S = 0.3  # a store ends a cut write within milliseconds; this covers a busy one
LARGE_GRACE_S = 10.0  # a large cut write is declared broken by itself; only a killed store leaves it at 425


class Answer(Enum):
    """What to do after the destination's answer to a whole request."""

    READ = "success: look at the errors of single records"
    AGAIN = "passing trouble: try again here for a while"
    RENEW = "the token: read it again, then try once more"
    SPLIT = "too much, or one record spoils the batch: send the halves apart"
    PASS = "the engine itself knows what to do"
    KEEP = "only a person or time can change it: the engine keeps the batch"


class Remedy(Enum):
    """What to do about one record the destination did not simply take."""

    DONE = "it is there, whole"
    RELABEL = "it is there, with older labels"
    COMPARE = "it has the same size and no hash: read it back"
    SEND = "it is not there: send it"
    REPLACE = "what is there is a torn or wrong copy of it: delete, then send"
    WAIT = "too early to tell"
    CONFLICT = "another record stands at its time"
    PASS = "not there: the engine sends it whole"
    KEEP = "refused: the engine keeps the batch"


@dataclass(frozen=True, slots=True)
class Found:
    """Say what a HEAD found at the destination; `status` 0 means that nothing answered."""

    status: int
    size: int = 0
    labels: Mapping[str, str] | None = None
    message: str = ""


def judge_answer(method: str, status: int) -> Answer:
    """Decide on a whole answer; 0 stands for a connection that was refused, cut or timed out."""
    if 200 <= status < 300:
        return Answer.READ
    if status in (0, 408, 425, 429, 502, 503, 504):
        return Answer.AGAIN
    if status in (401, 403):
        return Answer.RENEW
    if status in (413, 422, 431):
        return Answer.SPLIT
    if status == 404 and method == "PATCH":
        return Answer.PASS  # the entry is new there: the engine then writes the records whole
    return Answer.KEEP


def judge_error(method: str, status: int) -> Remedy:
    """Decide on the error of one record inside a success; WAIT means: look at the record."""
    if method == "PATCH" and status == 404:
        return Remedy.PASS
    if status in (409, 425):
        return Remedy.WAIT
    return Remedy.KEEP


def judge_found(found: Found, sent: Part, seen_torn_s: float, held: bool) -> Remedy:
    """Decide on a record the destination says it has already.

    `seen_torn_s` is for how long it has been unreadable; `held` says whether its bytes are in memory.
    """
    if found.status == 404:
        return Remedy.SEND
    if (
        found.status == 500 and "broken" in found.message
    ):  # given up by the engine: a copy of the same size goes over it
        return Remedy.REPLACE if seen_torn_s else Remedy.SEND
    if found.status in (425, 500):
        return Remedy.REPLACE if seen_torn_s >= grace_s(sent.size) else Remedy.WAIT
    if found.status != 200:
        return Remedy.WAIT if judge_answer("HEAD", found.status) is Answer.AGAIN else Remedy.KEEP
    return _judge_readable(found, sent, held)


def judge_present(found: Found, sent: Part, seen_torn_s: float) -> Remedy:
    """Decide on a record whose labels are to change: a store takes labels for torn records and for others' alike."""
    if found.status == 404:
        return Remedy.PASS
    if found.status != 200:
        remedy = judge_found(found, sent, seen_torn_s, held=False)
        return Remedy.REPLACE if remedy is Remedy.SEND else remedy  # torn: cleared, then written whole
    labels = found.labels or {}
    if None in (sent.xxh, labels.get("xxh")) or sent.xxh == labels.get("xxh"):
        return Remedy.RELABEL
    return Remedy.REPLACE if _same_record(labels, sent.labels) else Remedy.CONFLICT


def grace_s(size: int) -> float:
    """Return for how long an unreadable record may still be one that is being written."""
    return SMALL_GRACE_S if size < LAZY_BYTES else LARGE_GRACE_S


def _judge_readable(found: Found, sent: Part, held: bool) -> Remedy:
    labels = found.labels or {}
    same_size = found.size == sent.size
    hashes = (sent.xxh, labels.get("xxh"))
    if same_size and None in hashes:
        return Remedy.COMPARE if held else Remedy.CONFLICT
    if same_size and hashes[0] == hashes[1]:
        return Remedy.DONE if _covers(labels, sent.labels) else Remedy.RELABEL
    return Remedy.REPLACE if _same_record(labels, sent.labels) else Remedy.CONFLICT


def _covers(there: Mapping[str, str], sent: Mapping[str, str]) -> bool:
    lower = {name.lower(): value for name, value in there.items()}  # header names carry no case
    return all(lower.get(name.lower()) == value for name, value in sent.items())


def _same_record(there: Mapping[str, str], sent: Mapping[str, str]) -> bool:
    return all(name in sent and sent[name] == there.get(name) for name in ("session", "seq"))
