"""The reconciler's decisions, without a store: what differs, what a look means, what pages open and close."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox.ledger import MINUTE_US, Count, Tombstone, count_of
from fleetbox.records import Head
from fleetbox_replication.reconcile import books
from fleetbox_replication.reconcile.books import Telling
from fleetbox_replication.reconcile.checking import runs
from fleetbox_replication.reconcile.difference import Bounds, compare, lacking
from fleetbox_replication.reconcile.minute import OPEN, PROVEN, SETTLED, Minute
from fleetbox_replication.reconcile.proofs import Proofs
from fleetbox_replication.reconcile.rhythm import Flow, Rhythm, is_due
from fleetbox_replication.reconcile.standings import Findings, is_news, judge, waiting
from fleetbox_replication.wire import make_part
from tests.replication.reconcile.conftest import BASE_US, draft, drafts, line_of

NOW_US = BASE_US + MINUTE_US


def _head(number: int, **labels: str) -> Head:
    item = draft(number)
    return Head("b", item.entry, item.time_us, len(item.data), {**item.labels, **labels}, item.content_type)


HEADS = [_head(number) for number in range(10)]
LINE = line_of("sensor", "imu", BASE_US, HEADS)
UNTOLD = Minute("r1", "sensor", "imu", BASE_US)
TOLD = books.told(UNTOLD, LINE, "cloud", Telling(1, NOW_US))


def test_each_record_is_in_one_pile() -> None:
    """Missing, wrong, conflicting, stale, too old, deleted: each where it belongs, and equal ones nowhere."""
    there = {head.time_us: head for head in HEADS[3:]}
    there[HEADS[3].time_us] = replace(HEADS[3], size=1)
    there[HEADS[4].time_us] = _head(4, session="s2", xxh="other")
    there[HEADS[5].time_us] = replace(HEADS[5], labels={**HEADS[5].labels, "keep": "edge"})
    stone = Tombstone("cloud", "sensor", "imu", HEADS[1].time_us, HEADS[2].time_us)
    found = compare(HEADS, there, Bounds(HEADS[1].time_us, (stone,)))
    piles = (found.beyond, found.buried, found.missing, found.wrong, found.conflicts, found.stale)
    assert [[head.time_us for head in pile] for pile in piles] == [[head.time_us] for head in HEADS[:6]]
    assert compare(HEADS[6:], there, Bounds()).clean


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ({"keep": "1", "policy": "a"}, {"keep": "edge"}, {"keep": "1", "policy": "a"}),
        ({"keep": "edge"}, {"keep": "1", "policy": "b"}, {}),
        ({"keep": "1"}, {"keep": "1", "policy": "b"}, {}),
        ({"keep": "1", "policy": "a"}, {"keep": "1"}, {"policy": "a"}),
    ],
)
def test_what_the_edge_promoted_stays_promoted(
    ours: dict[str, str], theirs: dict[str, str], wanted: dict[str, str]
) -> None:
    """Late labels are added; what an event at the edge labelled there is not taken back."""
    assert lacking(ours, theirs) == wanted


def test_a_minute_closes_when_both_ends_agree_in_any_order() -> None:
    """Source first or destination first: equal counts prove the minute; late labels and other bytes do not."""
    assert TOLD.state == OPEN
    assert books.arrived(TOLD, LINE, "cloud", Telling(2, NOW_US)).state == PROVEN
    first = books.arrived(UNTOLD, LINE, "cloud", Telling(1, NOW_US))
    assert (first.state, books.told(first, LINE, "cloud", Telling(2, NOW_US)).state) == (OPEN, PROVEN)
    unpromoted = replace(LINE, cloud=Count())
    kept = books.told(UNTOLD, LINE, "keep", Telling(1, NOW_US))
    assert books.arrived(kept, unpromoted, "keep", Telling(2, NOW_US)).state == OPEN
    other = replace(LINE, held=replace(LINE.held, digest=1))
    assert books.arrived(TOLD, other, "cloud", Telling(2, NOW_US)).state == OPEN


def test_more_at_the_source_and_less_at_the_destination_open_a_proven_minute() -> None:
    """A revision with more records, or one there with fewer, opens it; a ring that turns does not."""
    proven = books.arrived(TOLD, LINE, "cloud", Telling(2, NOW_US))
    fewer = line_of("sensor", "imu", BASE_US, HEADS[:9])
    more = line_of("sensor", "imu", BASE_US, [*HEADS, _head(10)])
    assert books.arrived(proven, fewer, "cloud", Telling(3, NOW_US)).state == OPEN
    assert books.arrived(proven, replace(fewer, partial=True), "cloud", Telling(3, NOW_US)).state == PROVEN
    assert books.arrived(proven, more, "cloud", Telling(3, NOW_US)).state == PROVEN
    assert books.told(proven, more, "cloud", Telling(3, NOW_US)).state == OPEN
    assert books.told(proven, fewer, "cloud", Telling(3, NOW_US)).told == LINE.held


def test_a_page_read_twice_changes_nothing() -> None:
    """The same page again, as after a crash, neither adds to a minute nor opens it."""
    turned = replace(line_of("sensor", "imu", BASE_US, HEADS[:3]), partial=True)
    grown = replace(line_of("sensor", "imu", BASE_US, HEADS[:4]), partial=True)
    minute = books.told(TOLD, turned, "cloud", Telling(2, NOW_US))
    minute = books.told(minute, grown, "cloud", Telling(3, NOW_US))
    assert minute.told.records == 11
    assert books.told(minute, grown, "cloud", Telling(3, NOW_US)) == minute


def test_vouched_records_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes twice counts once, a label update counts as a promotion, and a minute too much is forgotten."""
    monkeypatch.setattr("fleetbox_replication.reconcile.proofs.REMEMBERED", 30)
    proofs, some = Proofs(), drafts(10)
    parts = [make_part(item.time_us, len(item.data), "", item.labels) for item in some]
    proofs.add("b", "imu", parts[:6], 1.0)
    proofs.add("b", "imu", parts[3:], 2.0)
    proofs.add("b", "imu", [make_part(some[0].time_us, 0, "", some[0].labels)], 3.0)
    where = ("b", "imu", BASE_US)
    count, cloud = proofs.count(where)
    assert (count, cloud, proofs.news("b"), proofs.moved_s("b")) == (LINE.held, 10, [where], 3.0)
    assert books.vouched(TOLD, count, cloud, "cloud", NOW_US).state == PROVEN
    assert books.vouched(replace(TOLD, cloud=11), count, cloud, "keep", NOW_US).state == OPEN
    later = [make_part(BASE_US + MINUTE_US + n, 1, "", {}) for n in range(30)]
    proofs.add("b", "imu", later, 4.0)
    assert proofs.count(where) == (Count(), 0)


def _judged(**found: object) -> Minute:
    return judge(TOLD, Findings(**{"known": HEADS, **found}), "cloud", NOW_US)  # type: ignore[arg-type]


def test_what_a_look_means() -> None:
    """All there is proven; what is absent waits, is refused, lost or unexplained, each by its reason."""
    assert _judged().state == PROVEN
    for left, (waits, refused) in {None: (1, {}), 425: (1, {}), 507: (0, {"507 disk full": 1})}.items():
        minute = _judged(left={HEADS[0].time_us: left})
        assert minute.standing is not None
        assert (minute.state, minute.standing.waiting, minute.standing.refused) == (OPEN, waits, refused)
    gone = _judged(known=HEADS[:7], turned=True, died=(422,)).standing
    assert gone is not None
    assert gone.lost == {"refused (422 malformed), then evicted": 1, "evicted before it arrived": 2}
    deleted = _judged(known=HEADS[:7])
    assert deleted.standing is not None
    assert (deleted.state, deleted.standing.unexplained) == (SETTLED, 3)
    saved = _judged(known=HEADS[:7], saved=3)
    assert saved.standing is not None
    assert (saved.state, saved.standing.refused, saved.standing.unexplained) == (SETTLED, {"saved in kept": 3}, 0)
    again = judge(replace(TOLD, once=True), Findings(known=HEADS[:7]), "cloud", NOW_US)
    assert (again.state, is_news(None, again.standing)) == (PROVEN, False)


def test_more_than_was_told_is_remembered() -> None:
    """Records that came since the source's last line count as told once they were seen at both ends."""
    seen = judge(TOLD, Findings(known=[*HEADS, _head(10)]), "cloud", NOW_US)
    assert seen.told == count_of([*HEADS, _head(10)])


def test_what_waits_is_said_once_and_a_named_loss_stays() -> None:
    """While nothing answers, an open minute waits, or is refused; a loss that was named is not covered up."""
    waits = waiting(TOLD, "cloud", 4, None)
    assert (waits.waiting, waiting(replace(TOLD, standing=waits), "cloud", 5, None)) == (6, waits)
    assert waiting(replace(TOLD, standing=waits), "cloud", 4, 401).refused == {"401 token": 6}
    lost = replace(waits, waiting=0, lost={"evicted before it arrived": 1})
    assert waiting(replace(TOLD, standing=lost), "cloud", 0, 401) == lost


@pytest.mark.parametrize(
    ("age_s", "flow", "due"),
    [
        (30, Flow(0, None, 0), False),  # younger than a grace
        (70, Flow(0, 1.0, 0), True),  # the task has nothing left
        (70, Flow(500, 1.0, 0), False),  # it is busy with its backlog
        (70, Flow(500, 90.0, 0), True),  # it is stuck
        (70, Flow(500, 1.0, BASE_US + 2 * MINUTE_US), False),
        (700, Flow(500, 1.0, BASE_US + 2 * MINUTE_US), True),  # busy, but past this minute for long
        (700, Flow(500, 1.0, BASE_US), False),  # busy, and this minute is still to come
    ],
)
def test_a_busy_task_is_left_to_its_backlog(age_s: float, flow: Flow, due: bool) -> None:
    """A minute is looked at when its task is idle, stuck, or has long passed it by."""
    assert is_due(BASE_US, age_s, flow, Rhythm()) is due


def test_neighbours_are_listed_together() -> None:
    """Minutes of one stream a few minutes apart make one run; others, and an hour's worth, begin a new one."""
    minutes = [replace(TOLD, minute_us=BASE_US + at * MINUTE_US) for at in (0, 1, 5, 40, 41)]
    minutes += [replace(TOLD, stream="odom", minute_us=BASE_US + at * MINUTE_US) for at in range(90)]
    assert [len(run) for run in runs(minutes)] == [3, 2, 60, 30]


def test_what_the_robot_gave_up_is_lost_to_the_disk_floor_and_never_unexplained() -> None:
    """As many as it said; what is gone beside that stays unexplained, and what is at the destination is no loss."""
    all_gone = judge(TOLD, Findings(given_up=10), "cloud", NOW_US)
    assert all_gone.standing is not None
    assert (all_gone.state, dict(all_gone.standing.lost), all_gone.standing.unexplained) == (
        SETTLED, {"disk floor": 10}, 0,
    )  # fmt: skip
    some = judge(TOLD, Findings(known=HEADS[:5], given_up=3), "cloud", NOW_US).standing
    assert some is not None
    assert (dict(some.lost), some.unexplained) == ({"disk floor": 3}, 2)
    assert judge(TOLD, Findings(known=HEADS, given_up=3), "cloud", NOW_US).state == PROVEN
