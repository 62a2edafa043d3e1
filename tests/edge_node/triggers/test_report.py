"""What a robot tells its sites of its triggers: when, and what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox.errors import InputError
from fleetbox_edge.triggers.memory import Memory
from fleetbox_edge.triggers.report import EVERY_US, SOON_US, Report, decode, encode, is_due
from fleetbox_edge.triggers.voice import Counts

T = 1_763_700_000_000_000
CALM = Counts(judged=100, fired=1)
BEGUN = Memory(T + SOON_US, T, "9f3a", None, {}, {"brake": CALM}, {"brake": "imu"}, {"brake": (T, T, 1)})


def later(seconds: float, **counts: object) -> Memory:
    """Return what is remembered so much later."""
    return replace(BEGUN, at_us=BEGUN.at_us + int(seconds * 1e6), counts={"brake": replace(CALM, **counts)})  # type: ignore[arg-type]


def test_what_is_said_is_read_again() -> None:
    """Counts, mutes and faults come back; what only the robot needs stays there."""
    memory = replace(BEGUN, muted="over budget", faults={"typo": "no CEL — ö"})
    assert decode(encode(memory)) == replace(memory, told={})
    for data in (b"", b"{}", b"[]", b"\xff", b'{"counts": 3}'):
        with pytest.raises(InputError, match="not a report"):
            decode(data)


def test_nothing_is_said_within_the_first_minute() -> None:
    """A program that is started and stopped again and again fills no class that never turns."""
    assert not is_due(None, replace(BEGUN, at_us=T + SOON_US - 1))
    assert is_due(None, BEGUN)
    assert is_due(None, replace(BEGUN, at_us=T - 1)), "the clock was set back"


@pytest.mark.parametrize(
    ("memory", "due"),
    [
        (later(600, judged=90_000, fired=3), False),
        (later(59, errors=1), False),
        (later(60, errors=1, last_error="no such key"), True),
        (later(60, unjudged=5), True),
        (later(60, muted_until_us=T + EVERY_US), True),
        (later(600, muted_until_us=T), False),
        (replace(later(60), muted="over budget"), True),
        (replace(later(60), policy="77aa"), True),
        (later(EVERY_US / 1e6), True),
        (later(-5), True),
        (replace(BEGUN, since_us=T + 1), False),
    ],
)
def test_news_is_what_a_person_would_act_on(memory: Memory, due: bool) -> None:
    """Within a minute: a rule that begins to raise, to be too slow, to be muted; figures that grow once an hour."""
    assert is_due(BEGUN, memory) is due


def test_it_is_said_once() -> None:
    """What was said last is not said again."""
    said: list[bytes] = []
    report = Report(said.append)
    assert [report.tell(one) for one in (BEGUN, later(30), later(90, fired=2), later(90, errors=1))] == [
        True,
        False,
        False,
        True,
    ]
    assert decode(said[1]).counts["brake"].errors == 1
