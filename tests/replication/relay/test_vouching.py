"""The relay's decisions as tables: every status has one answer, and none of them loses a record."""

from __future__ import annotations

from itertools import product

import pytest

from fleetbox_replication.next_steps import next_step
from fleetbox_replication.relay.vouching import (
    LARGE_GRACE_S,
    LAZY_BYTES,
    SMALL_GRACE_S,
    Answer,
    Found,
    Remedy,
    judge_answer,
    judge_error,
    judge_found,
    judge_present,
)
from fleetbox_replication.wire import make_part

OURS = {"session": "s1", "seq": "7", "xxh": "00ff00ff00ff00ff", "keep": "1"}
SENT = make_part(1, 100, "", OURS)

ANSWERS = {
    0: Answer.AGAIN,
    200: Answer.READ,
    204: Answer.READ,
    400: Answer.KEEP,
    401: Answer.RENEW,
    403: Answer.RENEW,
    404: Answer.KEEP,
    405: Answer.KEEP,
    408: Answer.AGAIN,
    409: Answer.KEEP,
    413: Answer.SPLIT,
    422: Answer.SPLIT,
    425: Answer.AGAIN,
    429: Answer.AGAIN,
    431: Answer.SPLIT,
    500: Answer.KEEP,
    502: Answer.AGAIN,
    503: Answer.AGAIN,
    504: Answer.AGAIN,
    507: Answer.KEEP,
}


@pytest.mark.parametrize(("status", "answer"), ANSWERS.items())
def test_answers_to_a_batch(status: int, answer: Answer) -> None:
    """Passing trouble is tried again, a token read again, a large batch parted, the rest kept at the source."""
    assert judge_answer("POST", status) is answer


def test_only_a_success_is_read_as_one() -> None:
    """No status outside 2xx can lead to a vouched batch; only a PATCH's 404 is left to the engine."""
    for method, status in product(("POST", "PATCH"), range(600)):
        answer = judge_answer(method, status)
        assert (answer is Answer.READ) == (200 <= status < 300)
        assert (answer is Answer.PASS) == (method == "PATCH" and status == 404)
        assert next_step(status, "r1--sensor")


def test_errors_of_single_records() -> None:
    """A record's error is looked into, left to the engine, or keeps the batch; it is never taken for done."""
    for status in range(600):
        expected = Remedy.WAIT if status in (409, 425) else Remedy.KEEP
        assert judge_error("POST", status) is expected
        assert judge_error("PATCH", status) is (Remedy.PASS if status == 404 else expected)


@pytest.mark.parametrize(
    ("found", "held", "remedy"),
    [
        (Found(200, 100, OURS), False, Remedy.DONE),
        (Found(200, 100, {**OURS, "policy": "p"}), False, Remedy.DONE),
        (Found(200, 100, {k.upper(): v for k, v in OURS.items()} | {"xxh": OURS["xxh"]}), False, Remedy.DONE),
        (Found(200, 100, {k: v for k, v in OURS.items() if k != "keep"}), False, Remedy.RELABEL),
        (Found(200, 100, {**OURS, "xxh": "1"}), False, Remedy.REPLACE),
        (Found(200, 99, OURS), False, Remedy.REPLACE),
        (Found(200, 99, {**OURS, "session": "s2"}), False, Remedy.CONFLICT),
        (Found(200, 100, {**OURS, "seq": "8", "xxh": "1"}), False, Remedy.CONFLICT),
        (Found(200, 100, {}), True, Remedy.COMPARE),
        (Found(200, 100, {}), False, Remedy.CONFLICT),
        (Found(200, 99, {}), True, Remedy.CONFLICT),
        (Found(404), True, Remedy.SEND),
        (Found(0), True, Remedy.WAIT),
        (Found(503), True, Remedy.WAIT),
        (Found(401), True, Remedy.KEEP),
        (Found(403), True, Remedy.KEEP),
    ],
)
def test_what_stands_there_decides(found: Found, held: bool, remedy: Remedy) -> None:
    """Only equal size and hash are done; the same record with wrong bytes is replaced, another one never touched."""
    assert judge_found(found, SENT, 0.0, held) is remedy


@pytest.mark.parametrize(
    ("status", "message", "size", "seen_s", "remedy"),
    [
        (425, "", 100, 0.0, Remedy.WAIT),
        (425, "", 100, SMALL_GRACE_S, Remedy.REPLACE),
        (425, "", LAZY_BYTES, SMALL_GRACE_S, Remedy.WAIT),
        (425, "", LAZY_BYTES, LARGE_GRACE_S, Remedy.REPLACE),
        (500, "internal", 100, 0.0, Remedy.WAIT),
        (500, "record is broken", 100, 0.0, Remedy.SEND),
        (500, "record is broken", 100, 0.1, Remedy.REPLACE),
    ],
)
def test_unreadable_records_get_a_grace(status: int, message: str, size: int, seen_s: float, remedy: Remedy) -> None:
    """What may still be in the writing is waited for, what the engine gave up is written over, then replaced."""
    part = make_part(1, size, "", OURS)
    assert judge_found(Found(status, message=message), part, seen_s, held=True) is remedy


@pytest.mark.parametrize(
    ("found", "seen_s", "remedy"),
    [
        (Found(200, 100, OURS), 0.0, Remedy.RELABEL),
        (Found(200, 100, {}), 0.0, Remedy.RELABEL),
        (Found(200, 100, {**OURS, "xxh": "1"}), 0.0, Remedy.REPLACE),
        (Found(200, 100, {"xxh": "1", "session": "s2", "seq": "7"}), 0.0, Remedy.CONFLICT),
        (Found(404), 0.0, Remedy.PASS),
        (Found(425), 0.0, Remedy.WAIT),
        (Found(425), SMALL_GRACE_S, Remedy.REPLACE),
        (Found(500, message="broken"), 0.0, Remedy.REPLACE),
        (Found(0), 0.0, Remedy.WAIT),
        (Found(403), 0.0, Remedy.KEEP),
    ],
)
def test_labels_change_only_on_our_own_whole_records(found: Found, seen_s: float, remedy: Remedy) -> None:
    """A torn record is replaced before it is relabelled, another's record keeps its labels."""
    assert judge_present(found, SENT, seen_s) is remedy
