"""What is logged waits for its judgement, bounded, and travels between processes."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from fleetbox.settings import parse_policy
from fleetbox_edge.bulk import pieces
from fleetbox_edge.triggers import Reading, compile_rules
from fleetbox_edge.triggers.post import DATAGRAM_BYTES, Postbox, Sender, letters, opened
from fleetbox_edge.triggers.tap import MAX_READINGS, Tap

RULES = compile_rules(
    parse_policy('[trigger.a]\non = "imu"\nwhen = "ax < 1.0"\n[trigger.b]\non = "cam/**"\nwhen = "has(labels.x)"')
)


def tap() -> Tap:
    """Return a tap that has learned the rules."""
    made = Tap()
    made.learn(RULES)
    return made


def test_only_streams_with_rules_are_tapped() -> None:
    """Small frames and our own streams are not, unless a rule names them in full; other rules change it."""
    one = tap()
    assert [one.meet(name) for name in ("imu", "cam/a", "cam/a/preview", "gps", "events")] == [True, True] + [False] * 3
    assert one.streams == {"imu", "cam/a"}
    one.learn(compile_rules(parse_policy('[trigger.a]\non = "**"\nwhen = "true"')))
    assert one.streams == {"imu", "cam/a", "gps"}


def test_the_oldest_give_way_and_are_counted() -> None:
    """A judge that is behind judges the newest; a caller never waits."""
    one = tap()
    for number in range(MAX_READINGS + 7):
        one.row("imu", number, {"ax": 0.0}, None)
    assert [reading.time_us for reading in one.take()] == list(range(7, MAX_READINGS + 7))
    assert one.missed() == {"imu": 7}
    assert one.missed() == {}


def test_columns_are_judged_by_the_fields_that_rules_read() -> None:
    """Forty wide fields that nobody reads are not unpacked."""
    one = tap()
    for piece in pieces(
        [1_700_000_000_000_000, 1_700_000_000_001_000], {"ax": [0.5, 1.5], "w": np.zeros((2, 40))}, 10**6
    ):
        one.bulk("imu", piece.data, piece.rows, {"run": 7})
    found = list(one.take())
    assert [(reading.time_us % 10**6, reading.fields) for reading in found] == [(0, {"ax": 0.5}), (1000, {"ax": 1.5})]


def test_a_row_is_copied() -> None:
    """A caller may go on with its dict."""
    one, row = tap(), {"ax": 0.5}
    one.row("imu", 1, row, None)
    row["ax"] = 9.0
    assert [reading.fields for reading in one.take()] == [{"ax": 0.5}]


def test_letters_hold_what_was_logged() -> None:
    """Many readings fit into datagrams of a bounded size; what fits into none is counted as missed."""
    readings = [Reading("imu", at, {"ax": at / 7, "s": "x" * 900}, {"run": 7}) for at in range(500)]
    readings.insert(3, Reading("log/a", 5, None, None, "y" * (DATAGRAM_BYTES + 1)))
    packed = list(letters(readings, {"gps": 3}))
    assert max(len(data) for data in packed) <= DATAGRAM_BYTES
    read = [opened(data) for data in packed]
    assert [one for _, some in read for one in some] == [one for one in readings if one.text is None]
    assert {name: n for missed, _ in read for name, n in missed.items()} == {"gps": 3, "log/a": 1}


def test_a_foreign_datagram_raises() -> None:
    """Whoever writes something else into the socket is told apart."""
    for data in (b"", b"hello", b"\x93\x01\x02\x03"):
        with pytest.raises(ValueError, match="are no readings"):
            opened(data)


def test_the_post_works_in_a_deep_folder_and_after_its_holder_died(tmp_path: Path) -> None:
    """A socket's address holds 108 bytes; a new holder is found by the next letter."""
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    sender = Sender(deep)
    assert not sender.reaches
    assert not sender.send(b"1")
    first = Postbox(deep)
    assert sender.send(b"2")
    assert list(first.take()) == [b"2"]
    first.socket.close()  # killed: its file stays
    assert not sender.send(b"3")
    second = Postbox(deep)
    assert sender.send(b"4")
    assert list(second.take()) == [b"4"]
    second.close()
    sender.close()


def test_a_full_postbox_makes_nobody_wait(tmp_path: Path) -> None:
    """Once the kernel takes no more, send says so; the rest stays with the sender."""
    box, sender = Postbox(tmp_path), Sender(tmp_path)
    sent = 0
    while sender.send(b"x" * 10_000):
        sent += 1
    assert len(list(box.take())) == sent
    assert sender.send(b"y")
    box.close()
    sender.close()


def test_callers_of_several_threads_lose_nothing() -> None:
    """What is added while the judge takes is taken, or counted."""
    one = tap()

    def add() -> None:
        for at in range(30_000):
            one.row("imu", at, {"ax": 0.0}, None)

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += sum(1 for _ in one.take())
    taken += sum(1 for _ in one.take())
    assert taken + one.missed().get("imu", 0) == 90_000
