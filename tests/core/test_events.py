"""Events as values and as revisions in a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs import BucketSpec, Store
from fleetbox.errors import InputError
from fleetbox.events import Event, decode, draft, encode, fold, make_id, new_event, read_events, write_event
from fleetbox.labels import check_user_labels
from fleetbox.time import MAX_TIME_US
from tests.conftest import StoreServer

T = 1_763_700_000_000_000
BRAKE = Event("hard-brake-1", "hard_brake", "r1", T, T - 10_000_000, T + 5_000_000, ("cam/*",), "wet floor — ö", "p")


def test_codec_is_lossless() -> None:
    """What is written is what is read, text in any language included."""
    event = replace(BRAKE, state="labelled", labelled={"cam/front": 3}, oldest_us={"cam/front": T}, by="edge-1")
    assert decode(encode(event)) == event


def test_a_later_version_is_still_read() -> None:
    """Keys this version does not know are passed over; bytes that are no event are an error."""
    assert decode(encode(BRAKE)[:-1] + b',"severity":3}') == BRAKE
    for data in (b"", b"[]", b'{"id":"x"}', b"\xff\xfe"):
        with pytest.raises(InputError, match="not an event"):
            decode(data)


def test_a_stream_is_cut_when_a_second_is_missing() -> None:
    """A stream whose first record lies a period behind the window's start is whole; one without a second is cut."""
    oldest_us = {"imu": BRAKE.start_us + 10_000, "preview": BRAKE.start_us + 1_000_000, "cam": BRAKE.start_us - 5}
    late_us = BRAKE.start_us + 1_000_001
    assert replace(BRAKE, oldest_us={**oldest_us, "late": late_us}).cut_streams() == {"late": late_us}


@given(st.integers(1, 2**52), st.integers(1, 2**52), st.integers(0, 2**24 - 1), st.integers(0, 2**24 - 1))
def test_ids_sort_by_time(first_us: int, second_us: int, noise: int, other: int) -> None:
    """Ids of one kind sort as their times do, whatever the noise."""
    if first_us < second_us:
        assert make_id("hard_brake", first_us, noise) < make_id("hard_brake", second_us, other)


def test_ids_of_equal_stamps_differ_by_their_noise() -> None:
    """Two marks in the same microsecond are two events; kinds are written with dashes."""
    assert make_id("hard_brake", T, 1) != make_id("hard_brake", T, 2)
    assert make_id("Hard_Brake", T, 1).startswith("hard-brake-")


@pytest.mark.parametrize("kind", ["", "1st", "hard brake", "a,b", 'a"b', "bremsung-ö", "x" * 41])
def test_bad_kinds_are_refused(kind: str) -> None:
    """A kind stands in labels and ids, so it obeys their rules."""
    with pytest.raises(InputError, match="not usable"):
        new_event(replace(BRAKE, kind=kind))


@pytest.mark.parametrize("time_us", [-1, -(10**17), MAX_TIME_US, 10**23])
def test_an_event_outside_the_calendar_is_refused(time_us: int) -> None:
    """Before 1970 no id could be made, after 9999 nobody could read it: neither is written."""
    with pytest.raises(InputError, match="1970"):
        new_event(replace(BRAKE, id="", time_us=time_us, start_us=time_us - 5, stop_us=time_us + 5))
    with pytest.raises(InputError, match="1970"):
        new_event(replace(BRAKE, stop_us=MAX_TIME_US))


def test_a_window_that_begins_before_1970_is_clipped() -> None:
    """A moment just after 1970 keeps its window from 0 on."""
    event = new_event(replace(BRAKE, id="", time_us=5, start_us=-7, stop_us=9), bits=lambda n: 0)
    assert (event.start_us, event.time_us, event.id) == (0, 5, "hard-brake-0000000002g0000")


def test_an_event_lies_within_its_interval() -> None:
    """A negative pre or post is refused, and so is a robot id that no robot can have."""
    with pytest.raises(InputError, match="own interval"):
        new_event(replace(BRAKE, stop_us=T - 1))
    with pytest.raises(InputError, match="robot id"):
        new_event(replace(BRAKE, robot="r--1"))
    assert new_event(replace(BRAKE, id=""), bits=lambda count: 0).id == make_id("hard_brake", T, 0)


def test_labels_of_a_revision_are_plain() -> None:
    """The labels that are not reserved pass the rules for anybody's labels."""
    labels = {k: v for k, v in draft(BRAKE, T).labels.items() if k not in ("robot", "type", "xxh")}
    assert check_user_labels(labels) == labels


def test_fold_takes_the_last_revision_and_adds_each_sites() -> None:
    """The robot's last word stands; a site adds what it labelled, in whatever order they arrive."""
    closing = replace(BRAKE, state="labelled", labelled={"imu": 4, "far": 2}, oldest_us={"imu": T})
    site = replace(BRAKE, state="labelled", labelled={"far": 3}, oldest_us={"imu": 1, "far": 5}, by="edge-1")
    revisions = [("events/edge-1", T + 9, site), ("events", T + 5, closing), ("events", T + 1, BRAKE)]
    for order in (revisions, revisions[::-1]):
        (event,) = fold(order)
        assert (event.state, event.labelled) == ("labelled", {"imu": 4, "far": 3})
        assert event.oldest_us == {"imu": T, "far": 5}
    assert [event.state for event in fold(revisions[2:])] == ["open"]


def test_a_closed_event_stays_closed_after_a_clock_was_set_back() -> None:
    """A closing revision stamped before the opening one stands all the same."""
    closing = replace(BRAKE, state="labelled", labelled={"imu": 4})
    (event,) = fold([("events", T + 5, BRAKE), ("events", T + 1, closing)])
    assert (event.state, event.labelled) == ("labelled", {"imu": 4})


def test_revisions_written_in_the_same_microsecond_all_stand(store_server: StoreServer, bucket_name: str) -> None:
    """A taken stamp moves on, so that no mark is lost to another; a window finds the events it meets."""

    async def scenario() -> None:
        async with Store(store_server.url, store_server.token) as store:
            assert await read_events(store, [bucket_name]) == []
            await store.ensure_bucket(bucket_name, BucketSpec("NONE", 0))
            marks = [new_event(replace(BRAKE, id="", time_us=T + n)) for n in range(5)]
            written = await asyncio.gather(*(write_event(store, bucket_name, mark, T) for mark in marks))
            assert sorted(revision.time_us for revision in written) == [T + n for n in range(5)]
            await write_event(store, bucket_name, replace(marks[0], state="labelled", labelled={"imu": 1}), T + 99)
            await write_event(store, bucket_name, replace(marks[0], labelled={"far": 2}), T + 99, site="edge-1")
            events = await read_events(store, [bucket_name, bucket_name + "-none"])
            assert {event.id for event in events} == {mark.id for mark in marks}
            assert {e.id: e.labelled for e in events}[marks[0].id] == {"imu": 1, "far": 2}
            assert len(await read_events(store, [bucket_name], start_us=T + 1_000_000)) == 5
            assert await read_events(store, [bucket_name], start_us=BRAKE.stop_us + 1) == []
            assert await read_events(store, [bucket_name], start_us=BRAKE.stop_us + 3_600_000_000) == []
            assert await read_events(store, [bucket_name], stop_us=BRAKE.start_us) == []

    asyncio.run(scenario())
