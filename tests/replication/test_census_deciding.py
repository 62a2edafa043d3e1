"""What a census decides: a stream in memory, looked at while it is written, noted, evicted, and time goes by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from fleetbox.blobs import BucketSpec, EntryInfo
from fleetbox.ledger import MINUTE_US, Count, Line, Page, count_of, fold, minute_of
from fleetbox.records import Head
from fleetbox_replication.census.jobs import found_by, job_of
from fleetbox_replication.census.listing import Listed, Range, ranges, requests
from fleetbox_replication.census.owing import Owing
from fleetbox_replication.census.rhythm import Rhythm
from fleetbox_replication.census.rings import is_turning
from fleetbox_replication.census.scope import is_counted
from fleetbox_replication.census.tally import Counted, Tally, empty_line
from fleetbox_replication.census.telling import REMEMBERED, Recent, revised
from fleetbox_replication.census.walker import gains, news
from fleetbox_replication.census.walking import next_stretch, stepped
from fleetbox_replication.census.watching import Watched, accounted_for, notice, over_us, settled

NOON_US = minute_of(1_790_000_000_000_000)
SECOND = 1_000_000
KEY = ("sensor", "imu")
RHYTHM = Rhythm()


def head(time_us: int, stream: str = "imu", **labels: str) -> Head:
    """Return a record's head."""
    return Head("b", stream, time_us, 100, {"xxh": f"{time_us:x}", **labels}, "")


def info(times: list[int], torn: int = 0) -> EntryInfo:
    """Return an entry as a store would tell of it, half-written records included."""
    return EntryInfo("imu", len(times) + torn, 1, 100 * len(times), min(times, default=0), max(times, default=0))


class Entry:
    """One entry of a store, in memory, and the census' decisions about it."""

    def __init__(self, rhythm: Rhythm = RHYTHM) -> None:
        self.rhythm = rhythm
        self.now_us = NOON_US
        self.heads: dict[int, Head] = {}
        self.watched: Watched | None = None
        self.recent = Recent()
        self.pages: list[Page] = []
        self.touched: set[int] = set()
        self.torn = 0
        self.listings: Counter[int] = Counter()

    def write(self, *times_us: int, **labels: str) -> None:
        """Write records."""
        self.heads.update({at: head(at, **labels) for at in times_us})

    def relabel(self, time_us: int) -> None:
        """Promote a record."""
        self.heads[time_us] = replace(self.heads[time_us], labels={**self.heads[time_us].labels, "keep": "1"})

    def look(self) -> int:
        """Look as a census does; return the lines told."""
        self.watched = notice(self.watched, info(list(self.heads), self.torn), self.now_us, self.rhythm)
        if self.watched is None:
            return 0
        job = job_of(KEY, self.watched, self.touched, self.now_us, self.rhythm)  # type: ignore[arg-type]
        snapshot = accounted_for(job.watched, job.until_us)
        listed = self._list(list(job.ranges()), snapshot.latest_us if snapshot else None)
        told = {(*KEY, at): item for at in job.minutes() if (item := self.recent.get(KEY, at))}
        if job.again:
            pages = {key: Counted(item.line, 0) for key, item in fold("r1", self.pages).of("r1").items()}
            told = {key: item for key, item in pages.items() if key[2] in job.again} | told
        found = found_by(job, listed, told, self._gone_us())  # type: ignore[arg-type]
        self._tell(found.lines)
        for counted in found.counted:
            self.recent.keep(counted)
        self.watched = settled(job.watched, found.told, self.now_us, self.rhythm)
        self.touched.clear()
        return len(found.lines) + self._walk()

    def rest(self, minutes: int = 30) -> None:
        """Let time go by until everything is told."""
        for _ in range(minutes * 3):
            self.now_us += 20 * SECOND
            self.look()

    def told(self) -> dict[int, Count]:
        """Return what was told, folded, by minute."""
        folded = fold("r1", self.pages).of("r1")
        return {key[2]: item.line.held for key, item in folded.items() if item.line.held.records}

    def truth(self) -> dict[int, Count]:
        """Return what is there, by minute."""
        minutes: dict[int, list[Head]] = {}
        for at, item in self.heads.items():
            minutes.setdefault(minute_of(at), []).append(item)
        return {minute_us: count_of(items) for minute_us, items in minutes.items()}

    def _gone_us(self) -> int:
        turned_us = self.watched.turned_us if self.watched else 0
        return max(min(self.heads), turned_us) if turned_us else 0

    def _list(self, wanted: list[Range], until_us: int | None) -> Listed:
        tally = Tally("sensor", {"imu": until_us} if until_us is not None else None)
        for item in wanted:
            for at in sorted(self.heads):
                if item.start_us <= at < item.stop_us:
                    self.listings[minute_of(at)] += 1
                    tally.add(self.heads[at])
        counted = {item.line.key: item for item in tally.counted()}
        return Listed(counted, {("sensor", name): count for name, count in tally.ahead.items()})

    def _walk(self) -> int:
        assert self.watched is not None
        stretch = next_stretch({KEY: self.watched}, self.rhythm.stretch_us)  # type: ignore[dict-item]
        if stretch is None:
            return 0
        listed = self._list(list(stretch.ranges), None)
        folded = fold("r1", self.pages).of("r1")
        told = {key: item.line for key, item in folded.items()}
        lines = news(listed, told, {KEY: self._gone_us()})  # type: ignore[dict-item]
        later = [at for at in self.heads if at >= stretch.stop_us]
        next_us = stretch.stop_us if listed.minutes else minute_of(min(later, default=stretch.end_us))
        self._tell(lines)
        (self.watched,) = stepped({KEY: self.watched}, stretch, next_us, gains(listed, told)).values()  # type: ignore[dict-item]
        return len(lines)

    def _tell(self, lines: tuple[Line, ...] | list[Line]) -> None:
        if lines:
            self.pages.append(Page("r1", "r1", len(self.pages), tuple(lines)))


def minute(number: int, count: int = 12) -> list[int]:
    """Return times in a minute after noon."""
    return [NOON_US + number * MINUTE_US + at * 5 * SECOND for at in range(count)]


def test_a_steady_stream_is_listed_once_a_minute() -> None:
    """An hour of chunks every 5 s, looked at every 10 s: each minute is listed once and told once."""
    entry = Entry()
    told = 0
    for step in range(720):
        entry.write(NOON_US + step * 5 * SECOND)
        entry.now_us = NOON_US + step * 5 * SECOND + 5 * SECOND
        if step % 2:
            told += entry.look()
    assert entry.told() == {at: count for at, count in entry.truth().items() if at < NOON_US + 59 * MINUTE_US}
    assert told == 59
    assert set(entry.listings.values()) == {12}


def test_a_minute_is_not_over_before_its_last_chunk_can_be_there() -> None:
    """Seven seconds after its end a chunk may still be on its way; nine seconds after, the minute is told."""
    entry = Entry()
    entry.look()
    entry.write(*minute(0), *minute(1, 1))
    entry.now_us = NOON_US + MINUTE_US + 7 * SECOND
    assert entry.look() == 0
    entry.now_us += 2 * SECOND
    assert entry.look() == 1


@pytest.mark.parametrize("offset_us", [0, 10**14, -(10**14)])
def test_minutes_are_over_whatever_the_clock_says(offset_us: int) -> None:
    """Records from years ahead or behind are told when their stream has moved on or rested."""
    entry = Entry()
    entry.look()
    for number in range(3):
        entry.write(*[at + offset_us for at in minute(number)])
        entry.now_us += MINUTE_US
        entry.look()
    entry.rest(3)
    assert entry.told() == entry.truth()
    assert sum(entry.listings.values()) <= 2 * 36


def test_a_leap_of_five_hundred_years_costs_a_step() -> None:
    """One record in the far future, and one at the beginning of time, do not make a census count centuries."""
    entry = Entry()
    entry.write(*minute(0))
    entry.look()
    entry.write(NOON_US * 9, 1)
    for _ in range(12):
        entry.now_us += 10 * SECOND
        entry.look()
    assert entry.told() == entry.truth()


def test_what_comes_late_from_before_the_ring_turns_nothing_back() -> None:
    """A window that was asked for late lies before what the ring took: the minute it had turned into stays so."""
    entry = Entry()
    for number in range(20, 24):
        entry.write(*minute(number))
        entry.now_us = NOON_US + (number + 1) * MINUTE_US + 20 * SECOND
        entry.look()
    for at in [*minute(20), *minute(21, 7)]:  # the ring goes on into the next minute
        del entry.heads[at]
    entry.look()
    entry.write(*minute(3))
    entry.rest()
    folded = {key[2]: item for key, item in fold("r1", entry.pages).of("r1").items()}
    told = [folded[NOON_US + number * MINUTE_US] for number in (3, 20, 21, 22)]
    assert [item.proven.records for item in told] == [12, 12, 12, 12]
    assert [item.line.held.records for item in told] == [12, 12, 5, 12]


def test_half_written_records_cost_one_search() -> None:
    """The store counts what no listing shows: the entry is searched once, and then left alone."""
    entry = Entry(Rhythm(search_us=0))
    for number in range(20):
        entry.write(*minute(number))
        entry.torn = 3 if number > 5 else 0
        entry.now_us = NOON_US + (number + 1) * MINUTE_US + 20 * SECOND
        entry.look()
    entry.rest(3)
    assert entry.told() == entry.truth()
    assert max(entry.listings.values()) <= 3 * 12  # as they come, near by, everywhere
    assert entry.listings[NOON_US + 15 * MINUTE_US] == 12


def test_a_replay_beside_a_live_stream_is_no_reason_to_search_everywhere() -> None:
    """Late records come with their notes for ten minutes: told minutes that they don't belong to are left alone."""
    entry = Entry(Rhythm(search_us=0))
    for number in range(60):
        entry.write(*minute(number))
        entry.now_us = NOON_US + (number + 1) * MINUTE_US
        entry.look()
    entry.rest(1)
    calm = entry.listings[NOON_US + 3 * MINUTE_US]
    for step in range(60):
        entry.write(NOON_US + (61 + step // 6) * MINUTE_US + step % 6 * 10 * SECOND)
        late_us = NOON_US + 20 * MINUTE_US + step * 10 * SECOND + 7
        entry.write(late_us)
        entry.touched.add(minute_of(late_us))
        entry.now_us += 10 * SECOND
        entry.look()
    entry.rest(2)
    assert entry.told() == entry.truth()
    assert entry.listings[NOON_US + 3 * MINUTE_US] == calm


class Interleaved(RuleBasedStateMachine):
    """Write, note, promote, look, flush, restart, evict and let time pass in any order: the fold tells the truth.

    Records come as an agent brings them: in order, or late with a note.
    """

    @initialize()
    def begin(self) -> None:
        """Begin with an entry that nobody has looked at."""
        self.entry = Entry(Rhythm(search_us=10**15))
        self.evicted_us = 0
        self.last_us = NOON_US

    @rule(seconds=st.integers(1, 200), count=st.integers(1, 30))
    def record(self, seconds: int, count: int) -> None:
        """Record as time goes by."""
        for step in range(count):
            self.last_us = max(self.last_us + 1, self.entry.now_us + step * seconds * SECOND // count)
            self.entry.write(self.last_us)
        self.entry.now_us = max(self.entry.now_us + seconds * SECOND, self.last_us)

    @rule(late_s=st.integers(60, 20_000), count=st.integers(1, 5), again=st.booleans())
    def replay(self, late_s: int, count: int, again: bool) -> None:
        """Bring late records, each with its note."""
        times = [self.entry.now_us - late_s * SECOND + at * SECOND for at in range(count)]
        self.entry.write(*times)
        self.entry.touched |= {minute_of(at) for at in times}
        if again:
            self.entry.look()

    @precondition(lambda self: self.entry.heads)
    @rule(share=st.floats(0, 0.99))
    def promote(self, share: float) -> None:
        """Label one record, with its note."""
        at = sorted(self.entry.heads)[int(share * len(self.entry.heads))]
        self.entry.relabel(at)
        self.entry.touched.add(minute_of(at))

    @rule(seconds=st.integers(0, 4000))
    def wait(self, seconds: int) -> None:
        """Let time go by."""
        self.entry.now_us += seconds * SECOND

    @rule()
    def look(self) -> None:
        """Look."""
        self.entry.look()

    @rule()
    def flush(self) -> None:
        """Tell the open minute, too."""
        usual, self.entry.rhythm = self.entry.rhythm, self.entry.rhythm.at_once()
        self.entry.look()
        self.entry.rhythm = usual

    @rule(lost=st.booleans())
    def restart(self, lost: bool) -> None:
        """Forget what is in memory, or everything."""
        self.entry.recent = Recent()
        if lost:
            self.entry.watched = None

    @precondition(lambda self: len(self.entry.heads) > 20)
    @rule(share=st.floats(0.1, 0.6))
    def evict(self, share: float) -> None:
        """Let the ring take its oldest records."""
        gone = sorted(self.entry.heads)[: int(share * len(self.entry.heads))]
        for at in gone:
            del self.entry.heads[at]
        self.evicted_us = max(self.evicted_us, minute_of(max(gone)) + MINUTE_US)

    def teardown(self) -> None:
        """Let everything settle, then compare."""
        if not hasattr(self, "entry"):
            return
        self.entry.rest(10)
        told, truth = self.entry.told(), self.entry.truth()
        for minute_us, count in truth.items():
            if minute_us >= self.evicted_us:
                assert told.get(minute_us) == count
            else:
                assert told[minute_us].records >= count.records
        assert {at for at in told if at >= self.evicted_us} <= truth.keys()


TestInterleaved = Interleaved.TestCase
TestInterleaved.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4)), min_size=1, max_size=4), st.integers(2, 40))
def test_late_records_that_nobody_noted_are_found_by_their_number(late: list[tuple[int, int]], minutes: int) -> None:
    """However many and however old: what the store counts and the looks do not explain is searched for."""
    entry = Entry(Rhythm(search_us=0))
    for number in range(minutes):
        entry.write(*minute(number))
        entry.now_us = NOON_US + (number + 1) * MINUTE_US
        entry.look()
    entry.rest(3)
    for ago, count in late:
        entry.write(*[NOON_US + max(0, minutes - 1 - ago) * MINUTE_US + 7 + at for at in range(count)])
        entry.rest(1)
    entry.rest(5)
    assert entry.told() == entry.truth()


@given(st.permutations(range(60)), st.integers(1, 59))
def test_a_tally_does_not_depend_on_order(order: list[int], until: int) -> None:
    """Spans, sums, first and last are those of the set; what lies ahead of a time is counted."""
    heads = [
        head(NOON_US + at * SECOND, session="s", seq=str(at * 5), rows="5", t_end=str(NOON_US + at)) for at in order
    ]
    tally = Tally("sensor", {"imu": NOON_US + until * SECOND})
    for item in heads:
        tally.add(item)
    (counted,) = tally.counted()
    assert counted.line.held == count_of(heads)
    ((span,),) = [counted.line.spans]
    assert (span.first, span.next, span.rows, span.holes) == (0, 300, 300, 0)
    assert (counted.line.first_us, counted.line.last_us, counted.line.rows) == (NOON_US, NOON_US + 59 * SECOND, 300)
    assert counted.covered_us == NOON_US + 59 * SECOND
    assert tally.ahead == {"imu": 59 - until} if until < 59 else tally.ahead == {}


def test_meta_and_kept_travel_whole() -> None:
    """Their three counts are equal, with labels or without; in a ring `keep` decides."""
    heads = [head(NOON_US), head(NOON_US + 1, keep="edge"), head(NOON_US + 2, keep="1")]
    for cls, expected in (("meta", (3, 3, 3)), ("kept", (3, 3, 3)), ("media", (3, 2, 1))):
        tally = Tally(cls)  # type: ignore[arg-type]
        for item in heads:
            tally.add(item)
        (counted,) = tally.counted()
        line = counted.line
        assert (line.held.records, line.keep.records, line.cloud.records) == expected


def test_what_a_pin_copied_is_counted_where_it_came_from() -> None:
    """A copy in `kept` with the label of pins is in no line: else a place would have more than ever came to it."""
    for cls, expected in (("kept", []), ("sensor", [1])):
        tally = Tally(cls)  # type: ignore[arg-type]
        tally.add(head(NOON_US, keep="1", pin="1"))
        assert [counted.line.held.records for counted in tally.counted()] == expected


def test_a_line_is_told_again_only_for_news() -> None:
    """Equal, or only about to be taken by the ring: nothing. Fewer in a turning ring: told, for what comes later."""
    tally = Tally("sensor")
    for at in range(5):
        tally.add(head(NOON_US + at))
    (counted,) = tally.counted()
    line = counted.line
    fewer = replace(line, held=count_of([head(NOON_US + 4)]), rows=1, partial=True)
    assert revised(None, line) == line
    assert revised(line, line) is None
    assert revised(line, replace(line, partial=True)) is None
    assert revised(line, fewer) == fewer
    assert revised(line, replace(empty_line("sensor", "imu", NOON_US), partial=True)) is None
    assert revised(replace(line, missing=7, rows=3), line) == replace(line, missing=5)


def test_a_few_minutes_are_remembered() -> None:
    """Memory does not grow with time."""
    recent = Recent()
    for number in range(100):
        recent.keep(Counted(empty_line("sensor", "imu", NOON_US + number * MINUTE_US), 0))
    assert recent.get(KEY, NOON_US + 99 * MINUTE_US) is not None
    assert len(recent.lines[KEY]) == REMEMBERED


def test_ranges_join_and_requests_share() -> None:
    """Minutes in a row are one range; streams with the same range are one request, unless their names are too long."""
    own = list(ranges("sensor", "imu", [NOON_US + n * MINUTE_US for n in (3, 1, 2, 7, 1)]))
    assert [(item.start_us - NOON_US, item.stop_us - NOON_US) for item in own] == [
        (MINUTE_US, 4 * MINUTE_US),
        (7 * MINUTE_US, 8 * MINUTE_US),
    ]
    many = [Range("sensor", f"{n:0200}", 0, MINUTE_US) for n in range(100)] + own
    made = requests(many)
    assert sorted(name for item in made for name in item.streams if name != "imu") == [f"{n:0200}" for n in range(100)]
    assert max(sum(len(name) + 1 for name in item.streams) for item in made) <= 4_100
    assert sum(item.streams == ("imu",) for item in made) == 2


def owing_line(number: int, records: int) -> Line:
    """Return a robot's line."""
    count = Count(records, 1, 1)
    return Line("sensor", "imu", NOON_US + number * MINUTE_US, count, count, Count(), 1, 1, 1)


def due(owing: Owing, *, most: int = 60) -> list[int]:
    """Return the numbers of the minutes that are due."""
    found = owing.due(KEY, NOON_US + 100 * MINUTE_US, most)
    owing.listed(KEY, found)
    return [(at - NOON_US) // MINUTE_US for at in found]


def test_what_another_place_tells_of_is_listed_while_something_comes_and_ever_less_often() -> None:
    """A minute that has got everything is owed nothing; one that gets nothing is listed at growing distances."""
    owing = Owing()
    page = Page("r1", "r1", 1, (owing_line(1, 5), owing_line(2, 5), owing_line(3, 0)))
    owing.expect(page, "keep", lambda key: 0 if key[1] == "imu" else None)
    owing.expect(Page("r1", "r1", 1, (replace(owing_line(1, 5), stream="never/here"),)), "keep", lambda key: None)
    owing.expect(Page("r1", "r1", 1, (owing_line(4, 5),)), "keep", lambda key: 5)
    owing.look([])
    assert due(owing) == [1, 2]  # it may have come before it was known to be owed
    for _ in range(9):
        owing.look([])
        assert due(owing) == []  # nothing has changed here
    owing.look([KEY])
    assert due(owing) == [1, 2]
    owing.told(owing_line(1, 5))
    looks = []
    for number in range(200):
        owing.look([KEY])
        if due(owing) == [2]:
            looks.append(number)
    distances = [later - earlier for earlier, later in pairwise(looks)]
    assert distances[:5] == [4, 8, 16, 32, 60]
    assert (
        Owing.unpacked(owing.packed()).packed() == owing.packed() == [["sensor", "imu", [[NOON_US + 2 * MINUTE_US, 5]]]]
    )


def test_owing_is_bounded() -> None:
    """A day's outage of one stream is remembered in part, the newest minutes of it."""
    owing = Owing()
    for number in range(0, 12_000, 100):
        lines = tuple(owing_line(number + at, 1) for at in range(100))
        owing.expect(Page("r1", "r1", 1, lines), "keep", lambda key: 0)
    owing.look([KEY])
    assert len(owing.minutes[KEY]) == 10_000
    assert len(owing.due(KEY, NOON_US + 30_000 * MINUTE_US, 60)) == 60


@pytest.mark.parametrize(
    ("spec", "used", "turning"),
    [
        (None, 99, False),
        (BucketSpec("NONE", 0), 99, False),
        (BucketSpec("HARD", 100, 128, 1), 99, False),
        (BucketSpec("FIFO", 100, 128, 1), 89, False),
        (BucketSpec("FIFO", 100, 128, 1), 90, True),
        (BucketSpec("FIFO", 100, 128, 30), 50, True),
    ],
)
def test_a_ring_turns_when_it_is_nearly_full(spec: BucketSpec | None, used: int, turning: bool) -> None:
    """Large blocks beside a small quota leave more room below it."""
    assert is_turning(spec, [EntryInfo("imu", 1, 1, used, 0, 0)]) is turning


def test_the_ledger_does_not_count_itself() -> None:
    """Its pages and attachments are left out; a sensor may be called ledger."""
    assert not is_counted("meta", "ledger")
    assert not is_counted("meta", "ledger/edge-1")
    assert not is_counted("sensor", "imu/$meta")
    assert is_counted("sensor", "ledger")
    assert is_counted("meta", "event/edge-1")


def test_a_walk_takes_streams_together_and_skips_what_is_not_theirs() -> None:
    """Streams whose walks begin within a stretch are listed in it; the others wait for theirs."""
    early, late = (
        info([NOON_US, NOON_US + 300 * MINUTE_US + 30 * SECOND]),
        info([NOON_US + 200 * MINUTE_US, NOON_US + 300 * MINUTE_US + 30 * SECOND]),
    )
    streams = {
        ("sensor", name): notice(None, item, NOON_US, RHYTHM)
        for name, item in (("a", early), ("b", early), ("c", late))
    }
    stretch = next_stretch(streams, RHYTHM.stretch_us)  # type: ignore[arg-type]
    assert stretch is not None
    assert [item.stream for item in stretch.ranges] == ["a", "b"]
    assert stretch.end_us == NOON_US + 300 * MINUTE_US


def test_the_last_minute_waits_while_records_come() -> None:
    """However long ago it was: a backlog on its way in is told minute by minute, not record by record."""
    watched = notice(None, info(minute(0, 3)), NOON_US + 500 * MINUTE_US, RHYTHM)
    assert watched is not None
    now_us = NOON_US + 500 * MINUTE_US
    assert over_us(watched, now_us, RHYTHM) == NOON_US
    rested = notice(watched, info(minute(0, 3)), now_us, RHYTHM)
    assert rested is not None
    assert over_us(rested, now_us, RHYTHM) == NOON_US + MINUTE_US
    assert isinstance(RHYTHM.at_once().quiet_looks, int)
