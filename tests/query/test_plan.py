"""Plans: which records are read from where, as plain values."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs import EntryInfo
from fleetbox.selectors import Selector
from fleetbox.settings import Place
from fleetbox_query.inventory import Holding
from fleetbox_query.plan import FAR_US, Fetch, Run, Source, fetches, make_sources, merged, share
from fleetbox_query.question import Span
from fleetbox_query.schemas import Schema

ROBOT = Place("r1", "robot", "http://robot", "")
EDGE = Place("edge-1", "edge", "http://edge", "")
CLOUD = Place("cloud", "cloud", "http://cloud", "")


def holding(place: Place, cls: str = "sensor", stream: str = "imu", oldest: int = 0, latest: int = 100) -> Holding:
    """What one place has of a stream."""
    return Holding(place, "r1", cls, EntryInfo(stream, 10, 1, 1_000, oldest, latest))


def test_sources_hold_places_nearest_first() -> None:
    """One source per robot, stream and class; the edge comes before the cloud, the robot's own store last."""
    found = make_sources([holding(ROBOT), holding(CLOUD), holding(EDGE), holding(EDGE, "kept")], [Span(Selector())], {})
    assert [(source.cls, [held.place.name for held in source.holdings]) for source in found] == [
        ("kept", ["edge-1"]),
        ("sensor", ["edge-1", "cloud", "r1"]),
    ]


def test_places_whose_records_cannot_reach_the_window_are_left_out() -> None:
    """A place is read only if its records, one chunk bound later at most, reach into the window."""
    schemas = {holding(EDGE).key: Schema("time_series", chunk_bound_us=50)}
    found = make_sources([holding(EDGE, latest=100), holding(CLOUD, latest=40)], [Span(Selector(), 120, 200)], schemas)
    assert [held.place.name for held in found[0].holdings] == ["edge-1"]
    assert found[0].record_windows(0, FAR_US) == ((70, 200),)
    assert make_sources([holding(EDGE, oldest=300)], [Span(Selector(), 0, 300)], schemas) == ()


def test_spans_join_and_fields_add_up() -> None:
    """Overlapping spans of a stream are read once; a selector without a field asks for all fields."""
    spans = [Span(Selector("r1", "imu", "ax"), 0, 10), Span(Selector("r1", "imu", "a*"), 5, 20)]
    (source,) = make_sources([holding(EDGE)], spans, {})
    assert (source.windows, source.fields) == (((0, 20),), ("ax", "a*"))
    (source,) = make_sources([holding(EDGE)], [*spans, Span(Selector("r1", "imu"), 50, 60)], {})
    assert (source.windows, source.fields) == (((0, 20), (50, 60)), None)


def test_meta_streams_are_chosen_by_name_only() -> None:
    """Globs leave the class `meta` alone; its streams are read when named."""
    events = holding(EDGE, "meta", "events")
    assert make_sources([events], [Span(Selector())], {}) == ()
    assert len(make_sources([events], [Span(Selector("*", "events"))], {})) == 1


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 30)).map(lambda pair: (pair[0], pair[0] + pair[1]))))
def test_merged_windows_cover_the_same(windows: list[tuple[int, int]]) -> None:
    """Joined windows cover exactly what they did, in order and apart."""
    joined = merged(windows)
    inside = {at for start, stop in windows for at in range(start, stop)}
    assert {at for start, stop in joined for at in range(start, stop)} == inside
    assert all(one[1] < other[0] for one, other in pairwise(joined))


@given(st.lists(st.sets(st.integers(0, 60)), min_size=2, max_size=3))
def test_shares_read_every_record_once_from_the_nearest(times: list[set[int]]) -> None:
    """Whatever the places hold, each record time is read exactly once, from the first place that has it."""
    places = [EDGE, CLOUD, ROBOT][: len(times)]
    source = Source(tuple(holding(place) for place in places), ((0, 100),))
    runs = share(source, (0, 100), [sorted(found) for found in times])
    read = [
        (at, places.index(run.holding.place))
        for run in runs
        for at in sorted(times[places.index(run.holding.place)])
        if run.start_us <= at < run.stop_us
    ]
    wanted = {at: next(n for n, found in enumerate(times) if at in found) for at in set().union(*times)}
    assert sorted(read) == sorted(wanted.items())


def test_runs_of_one_bucket_and_stretch_make_one_query() -> None:
    """Streams of a bucket read over the same stretch share a query."""
    sources = [Source((holding(EDGE, stream=name),), ((0, 100),)) for name in ("a", "b", "c")]
    runs = [Run(source, source.holdings[0], 0, 100 if source is not sources[2] else 50) for source in sources]
    assert fetches(runs) == [Fetch(tuple(runs[:2])), Fetch((runs[2],))]
