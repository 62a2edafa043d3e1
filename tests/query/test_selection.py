"""Selections: what comes back is exactly what was written, cut to what was asked."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fleetbox import types
from fleetbox.errors import AccessDenied, InputError, NotFound, Unreachable
from fleetbox_query.fleet import Fleet
from fleetbox_query.nothing import NothingFound
from fleetbox_query.provenance import PartialAnswer
from fleetbox_query.selection import Selection

from .conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000


def rows(tiers: Tiers, stream: str, first_s: int, seconds: int = 5, **labels: str):  # type: ignore[no-untyped-def]
    """A chunk of one row a second: field n counts seconds since T0."""
    numbers = list(range(first_s, first_s + seconds))
    return chunk(stream, [T0 + n * SECOND for n in numbers], {"n": numbers, "half": [n / 2 for n in numbers]}, **labels)


def test_frames_of_one_stream_have_plain_field_names(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A frame of one stream holds every row under plain field names, indexed by UTC time."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in range(0, 20, 5)])
    frame = fleet.select(f"{tiers.robot}/{stream}").frames()
    assert list(frame.columns) == ["n", "half"]
    assert frame["n"].tolist() == list(range(20))
    assert str(frame["n"].dtype) == "int64"
    assert frame.index[3].timestamp() == T0 / 1e6 + 3
    assert frame.attrs["places_read"] == {"edge-1": 4}
    assert frame.attrs["missing"] == []


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (4, 6), (5, 10), (7, 7.5), (7.5, 8), (9, 31), (-5, 0.5), (30, 40)])
def test_windows_cut_rows_exactly(tiers: Tiers, fleet: Fleet, stream: str, start: float, stop: float) -> None:
    """Rows of [start, stop) come back and no others, wherever the window's ends lie in the chunks."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in range(0, 30, 5)])
    a, b = T0 + round(start * SECOND), T0 + round(stop * SECOND)
    wanted = [n for n in range(30) if a <= T0 + n * SECOND < b]
    selection = fleet.select(f"{tiers.robot}/{stream}").between(a, b)
    assert [item.fields["n"] for item in selection.records()] == wanted  # type: ignore[index]
    assert selection.count().rows == len(wanted)
    with nullcontext() if wanted else pytest.warns(NothingFound, match=f"{stream} from .* to "):
        frame = selection.frames()
    assert (frame["n"].tolist() if wanted else len(frame)) == (wanted or 0)


def test_a_longer_chunk_bound_is_looked_back(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A chunk of 60 s is found from a window at its end when the stream's schema states such a bound."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, 60)])
    tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {}, "chunk_bound_us": 60 * SECOND})
    frame = fleet.select(f"{tiers.robot}/{stream}").between(T0 + 58 * SECOND, T0 + 90 * SECOND).frames()
    assert frame["n"].tolist() == [58, 59]


def test_several_streams_and_robots_are_joined_on_time(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Globs over robots and classes give one outer-joined frame with full column names."""
    other = f"{tiers.robot}b"
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, 2)])
    tiers.put("edge", "sensor", [rows(tiers, stream, 1, 2, robot=other)], robot=other)
    tiers.put("edge", "log", [blob(f"{stream}/text", T0, b"hello", kind="log")])
    frame = fleet.select(f"{tiers.robot}*/{stream}/**").frames()
    assert set(frame.columns) == {
        *(f"{robot}/{stream}:{name}" for robot in (tiers.robot, other) for name in ("n", "half")),
        f"{tiers.robot}/{stream}/text:value",
    }
    mine, theirs = frame[f"{tiers.robot}/{stream}:n"], frame[f"{other}/{stream}:n"]
    assert mine.tolist()[:2] == [0, 1]
    assert theirs.tolist()[1:] == [1, 2]
    assert mine.isna().tolist() == [False, False, True]
    assert frame[f"{tiers.robot}/{stream}/text:value"].tolist()[0] == "hello"


def test_fields_are_chosen_by_glob(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A field in the selector keeps that field only, in frames and records."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0, 2)])
    selection = fleet.select(f"{tiers.robot}/{stream}:h*")
    assert list(selection.frames().columns) == ["half"]
    assert [item.fields for item in selection.records()] == [{"half": 0.0}, {"half": 0.5}]


def test_labels_filter(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """where() keeps records with exactly these label texts, also texts the engine would read as something else."""
    drafts = [rows(tiers, stream, at, run=run) for at, run in ((0, "a"), (5, "5s"), (10, "007"), (15, "7"))]
    tiers.put("edge", "sensor", [*drafts, rows(tiers, stream, 20)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    for run, first in (("a", 0), ("5s", 5), ("007", 10), ("7", 15)):
        assert selection.where(run=run).frames()["n"].tolist() == list(range(first, first + 5))
    assert selection.where({"run": 7}).count().rows == 5
    with pytest.warns(NothingFound, match="has run == 'b'; some have run=007"):
        assert selection.where(run="b").frames().empty
    with pytest.warns(NothingFound, match="has a label `site`"):
        assert selection.where(site="b").frames().empty
    with pytest.warns(NothingFound, match="there are records of"):
        selection.between("2020-01-01", "2020-01-02").arrow()


def test_kept_and_class_buckets_are_one_stream(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A stream's ring and what was ingested or rescued into `kept` come as one, rescued copies once."""
    shared = rows(tiers, stream, 5)
    tiers.put("edge", "sensor", [shared, rows(tiers, stream, 10)])
    tiers.put("edge", "kept", [rows(tiers, stream, 0), shared])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    assert selection.frames()["n"].tolist() == list(range(15))
    assert selection.count().rows == 15


@pytest.mark.usefixtures("own_robot")
def test_each_record_comes_from_the_nearest_tier(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Over three tiers every record comes once: from the edge if it is there, else the cloud, else the robot."""
    drafts = [rows(tiers, stream, at) for at in range(0, 30, 5)]
    tiers.put("robot", "sensor", drafts)
    tiers.put("edge", "sensor", drafts[1:3])
    tiers.put("cloud", "sensor", [drafts[0], *drafts[2:4]])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    frame = selection.frames()
    assert frame["n"].tolist() == list(range(30))
    assert frame.attrs["places_read"] == {"edge-1": 2, "cloud": 2, tiers.robot: 2}
    assert selection.tier("cloud").frames()["n"].tolist() == [*range(5), *range(10, 20)]
    assert selection.site("edge-1").frames()["n"].tolist() == list(range(5, 15))
    records = selection.records()
    items = list(records)
    assert [item.fields["n"] for item in items] == list(range(30))  # type: ignore[index]
    assert set(records.places_read) == {"edge-1", "cloud", tiers.robot}
    assert [item.place for item in items[::5]] == ["cloud", "edge-1", "edge-1", "cloud", tiers.robot, tiers.robot]
    assert selection.at(T0).item.place == "cloud"
    assert records.provenance.text == f"cloud 2, edge-1 2, {tiers.robot} 2"


def test_a_tier_that_is_down_is_named(
    tiers: Tiers, tmp_path: Path, fleet_at: Callable[[Path], Fleet], stream: str
) -> None:
    """With one tier down the others answer and the answer says which one was not asked."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
    fleet = fleet_at(tiers.write_fleet(tmp_path, urls={"cloud": "http://127.0.0.1:9"}))
    with pytest.warns(PartialAnswer, match="cloud"):
        frame = fleet.select(f"{tiers.robot}/{stream}").frames()
    assert frame["n"].tolist() == list(range(5))
    assert len(frame.attrs["missing"]) == 1
    records = fleet.select(f"{tiers.robot}/{stream}").records()
    with pytest.warns(PartialAnswer):
        assert len(list(records)) == 5
    assert [one.place for one in records.provenance.unreachable] == ["cloud"]


def test_nothing_reachable_is_unreachable(tiers: Tiers, tmp_path: Path, fleet_at: Callable[[Path], Fleet]) -> None:
    """When no place answers the question fails as unreachable, not as empty."""
    dead = dict.fromkeys(("robot", "edge", "cloud"), "http://127.0.0.1:9")
    fleet = fleet_at(tiers.write_fleet(tmp_path, urls=dead))
    with pytest.raises(Unreachable):
        fleet.select("*").frames()


def test_a_wrong_token_is_access_denied(tiers: Tiers, tmp_path: Path, fleet_at: Callable[[Path], Fleet]) -> None:
    """A wrong token of the chosen site fails as such."""
    path = tiers.write_fleet(tmp_path)
    (tmp_path / "edge.token").write_text("wrong")
    with pytest.raises(AccessDenied):
        fleet_at(path).select("*").site("edge-1").frames()


def test_no_such_stream_is_not_found(tiers: Tiers, fleet: Fleet) -> None:
    """A selector nothing matches raises NotFound naming the places asked."""
    with pytest.raises(NotFound, match="edge-1"):
        fleet.select(f"{tiers.robot}/nothing").frames()


def test_a_field_nobody_has_is_not_found(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A field in none of the chosen streams raises NotFound naming those there are, with and without a schema."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0), chunk(f"{stream}/b", [T0 + 1], {"m": [1]})])
    name = f"{tiers.robot}/{stream}"
    for _ in range(2):
        for ask in (Selection.frames, Selection.records, Selection.count):
            with pytest.raises(NotFound, match=r"'nope'.*\n.*n, half"):
                ask(fleet.select(f"{name}:nope"))
        tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"n": {}, "half": {}}})
    tiers.attach("edge", "sensor", stream, {"type": "time_series", "fields": {"n": {}}})
    assert len(fleet.select(f"{name}:half").frames()) == 5  # in the chunk, not yet in the schema


def test_a_field_of_one_stream_gives_no_rows_of_others(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Where one of several streams has the field, only its rows come."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0), chunk(f"{stream}/b", [T0 + 1], {"m": [1]})])
    tiers.put("edge", "media", [blob(f"{stream}/cam", T0 + 2, b"picture", kind="images")])
    selection = fleet.select(f"{tiers.robot}/{stream}/**:m")
    assert [dict(item.fields or {}) for item in selection.records()] == [{"m": 1}]
    assert selection.frames()["m"].tolist() == [1]
    assert selection.count().rows == 1


def test_times_of_numpy_and_dates_are_taken(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """datetime64 is UTC and a date its local midnight; durations may be timedeltas."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    start, stop = (np.datetime64(T0 + n * SECOND, "us") for n in (1, 3))
    assert selection.between(start, stop.astype("datetime64[ns]")).frames()["n"].tolist() == [1, 2]
    assert selection.between(np.int64(T0), np.float64(T0 / 1e6 + 1)).frames()["n"].tolist() == [0]
    day = datetime.fromtimestamp(T0 / 1e6).astimezone().date()
    assert len(selection.between(day, day + timedelta(days=1)).frames()) == 5
    with pytest.warns(NothingFound):
        assert selection.last(timedelta(seconds=1)).frames().empty


@pytest.mark.parametrize(
    "time", [np.datetime64("NaT"), pd.NaT, float("nan"), math.inf, np.datetime64(10**6, "Y"), [], True]
)
def test_what_is_no_time_is_refused(fleet: Fleet, time: Any) -> None:
    """Whatever is no point in time is an InputError that says what to give."""
    with pytest.raises(InputError, match="give"):
        fleet.select("*").between(time, None)


@pytest.mark.parametrize(
    "duration", [float("nan"), -5, 1e300, timedelta(seconds=-1), np.timedelta64("NaT"), pd.NaT, None, []]
)
def test_what_is_no_duration_is_refused(fleet: Fleet, duration: Any) -> None:
    """Whatever is no duration, or a negative one, is an InputError."""
    for ask in (fleet.select("*").last, fleet.events().last):
        with pytest.raises(InputError, match="duration"):
            ask(duration)


def test_what_is_no_text_chooses_nothing(fleet: Fleet) -> None:
    """A selector or a kind of event that is no text is an InputError."""
    for ask in (fleet.select, fleet.streams, fleet.events):
        with pytest.raises(InputError, match="text"):
            ask(5)  # type: ignore[operator]


def test_it_works_inside_a_running_loop(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Every verb works where an event loop already runs, as in a notebook."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])

    async def notebook() -> tuple[int, int, int]:
        selection = fleet.select(f"{tiers.robot}/{stream}")
        return len(selection.frames()), len(list(selection.records())), len(fleet.streams(f"{tiers.robot}/{stream}"))

    assert asyncio.run(notebook()) == (5, 5, 1)


def test_where_takes_expressions_on_fields_and_labels(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """where("n > 5 && run == 'a'") tests fields and labels, several calls must all hold, beside labels by name."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at, run=run) for at, run in ((0, "a"), (5, "a"), (10, "b"))])
    selection = fleet.select(f"{tiers.robot}/{stream}")
    assert selection.where("n > 7").frames()["n"].tolist() == [8, 9, 10, 11, 12, 13, 14]
    assert selection.where("n > 7 && run == 'a'").frames()["n"].tolist() == [8, 9]
    assert selection.where("n > 3 || half < 1.0").where("n < 5").frames()["n"].tolist() == [0, 1, 4]
    assert [item.time_us for item in selection.where("n == 11", run="b").records()] == [T0 + 11 * SECOND]
    assert selection.where("n > 3").where(run="b").count().rows == 5
    assert selection.where("n > 7").count().rows == 7
    assert selection.where("labels.run == 'a'").explain().engine_when is not None


def test_labels_are_found_in_streams_without_a_schema(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """where("run == '7'") means the label in rows and texts of streams that nobody described, as labels.run does."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at, run=run) for at, run in ((0, "7"), (5, "8"))])
    pictures = [
        blob(f"{stream}/note", T0 + at, b"x", kind="log", robot=tiers.robot, run=run)
        for at, run in ((0, "7"), (5, "8"))
    ]
    tiers.put("edge", "log", pictures)
    selection = fleet.select(f"{tiers.robot}/{stream}")
    for text in ("run == '7'", "run == 7", "labels.run == '7'", "run in ['6', '7']", "run < '8' || n > 100"):
        assert selection.where(text).frames()["n"].tolist() == [0, 1, 2, 3, 4], text
        assert selection.where(text).count().rows == 5, text
        assert len(list(fleet.select(f"{tiers.robot}/{stream}/note").where(text).records())) == 1, text
    assert len(list(fleet.select(f"{tiers.robot}/{stream}/**").where("run == '7'").records())) == 6


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("episode:picks/1", "fleet.episodes('picks/1').select("),
        ("Episodes:picks/1", "fleet.episodes('picks/1').select("),
        ("event:3f2a", "event:3f2a-10s"),
    ],
)
def test_an_episode_or_event_is_no_stream(fleet: Fleet, text: str, step: str) -> None:
    """Where streams are chosen, what names an episode or an event is refused with how to ask for it."""
    with pytest.raises(InputError, match="streams are chosen here") as refused:
        fleet.select("r1/imu", text)
    assert step in str(refused.value.next_step)


def test_a_name_that_is_nearly_right_is_told(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A selector that chooses nothing says which streams or robots have nearly that name, else which there are."""
    tiers.put("edge", "sensor", [rows(tiers, stream, 0)])
    name = f"{tiers.robot}/{stream}"
    for typo, wanted in ((f"{name}x:n", name), (f"{tiers.robot}x", tiers.robot), (f"{tiers.robot}/zz", name)):
        with pytest.raises(NotFound, match="no stream matches") as missing:
            fleet.select(typo).frames()
        assert wanted in str(missing.value.next_step)
    with pytest.raises(NotFound) as missing:
        fleet.select("q/zz").tier("edge").frames()
    assert "there are" in str(missing.value.next_step)


@pytest.mark.parametrize("text", ["ax >", "ax > 5 &&", "((", "ax ==== 2"])
def test_where_refuses_what_is_no_expression_at_once(fleet: Fleet, text: str) -> None:
    """Text that is no CEL is refused when it is given, before any place is asked."""
    with pytest.raises(InputError, match="expression"):
        fleet.select("*").where(text)


def test_whole_numbers_stay_exact_beside_missing_values(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Integers beyond 2^53 and truth values keep their value when the join leaves holes beside them."""
    big = 2**60 + 1
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1], {"big": [big, None], "ok": [True, None]})])
    tiers.put("edge", "sensor", [chunk(f"{stream}/b", [T0 + 2], {"big": [big + 2], "ok": [False]})])
    frame = fleet.select(f"{tiers.robot}/{stream}/**").frames()
    assert frame[f"{tiers.robot}/{stream}:big"].iloc[0] == big
    assert frame[f"{tiers.robot}/{stream}/b:big"].iloc[2] == big + 2
    assert frame[f"{tiers.robot}/{stream}:ok"].iloc[0]
    assert not frame[f"{tiers.robot}/{stream}/b:ok"].iloc[2]


def test_align_takes_the_previous_value_only(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """On a grid each time has the newest value at or before it, and none older than max_age."""
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 100_000, T0 + 1_000_000], {"x": [1.0, 2.0, 3.0]})])
    frame = fleet.select(f"{tiers.robot}/{stream}").frames(align="4 Hz", max_age="300ms")
    assert [None if math.isnan(value) else value for value in frame["x"]] == [1.0, 2.0, None, None, 3.0]


def test_clocks_can_be_index_and_columns(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """The exact ns clocks are left out, kept as columns or taken as index, as asked."""
    logs = [T0 * 1000 + 1, T0 * 1000 + 1_001]
    tiers.put("edge", "sensor", [chunk(stream, [T0, T0 + 1], {"x": [1.0, 2.0]}, clocks__log_ns=logs)])  # type: ignore[arg-type]
    selection = fleet.select(f"{tiers.robot}/{stream}")
    assert list(selection.frames().columns) == ["x"]
    assert selection.frames(clocks=True)["log_ns"].tolist() == logs
    assert [stamp.value for stamp in selection.frames(clock="log").index.as_unit("ns")] == logs
    with pytest.raises(InputError, match="header"):
        selection.frames(clock="header")


def test_records_come_in_order_of_time_over_streams(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Rows and blobs of several streams come in order of time, blobs decoded by their type."""
    tiers.put("edge", "sensor", [rows(tiers, stream, at) for at in (0, 5)])
    tiers.put(
        "edge", "log", [blob(f"{stream}/text", T0 + n * SECOND + 1, f"{n}".encode(), kind="log") for n in range(10)]
    )
    items = list(fleet.select(f"{tiers.robot}/{stream}/**").records())
    assert [item.time_us for item in items] == sorted(item.time_us for item in items)
    assert [item.value for item in items if item.type == "log"] == [str(n) for n in range(10)]
    assert len(items) == 20


def test_a_damaged_chunk_is_named_and_the_rest_read(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """A chunk whose bytes do not open is named in the answer; the others come whole."""
    broken = rows(tiers, stream, 5)
    tiers.put("edge", "sensor", [rows(tiers, stream, 0), type(broken)(
        broken.entry, broken.time_us, b"no arrow", {"rows": "5", "t_end": str(T0 + 9 * SECOND)}, broken.content_type
    )])  # fmt: skip
    with pytest.warns(PartialAnswer, match="unreadable"):
        frame = fleet.select(f"{tiers.robot}/{stream}").frames()
    assert frame["n"].tolist() == list(range(5))
    with pytest.warns(PartialAnswer, match="unreadable"):
        assert len(list(fleet.select(f"{tiers.robot}/{stream}").records())) == 5


def test_a_picture_that_does_not_decode_ends_nothing(tiers: Tiers, fleet: Fleet, stream: str) -> None:
    """Iteration passes over a damaged picture; only its own value raises, naming it, and its bytes stay at hand."""
    pictures = [types.get("images").encode(np.full((4, 4), n, np.uint8)) for n in (0, 200)]
    given = [pictures[0], b"\xff\xd8\xff\xe0nope", pictures[1]]
    drafts = [blob(stream, T0 + n * SECOND, data, kind="images") for n, data in enumerate(given)]
    tiers.put("edge", "media", drafts)
    good, bad, after = fleet.select(f"{tiers.robot}/{stream}").records()
    assert (good.value.shape, after.value.shape) == ((4, 4), (4, 4))
    with pytest.raises(InputError, match=f"{tiers.robot}/{stream} at .* do not decode"):
        _ = bad.value
    assert bad.data == given[1]
