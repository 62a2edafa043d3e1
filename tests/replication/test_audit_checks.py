"""What `status` and `doctor` say of the books."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox.checks import Check
from fleetbox.ledger import MINUTE_US, Drop, Page, Span, Standing, fold
from fleetbox_replication.audit.books import Range
from fleetbox_replication.audit.checks import judge
from fleetbox_replication.audit.hops import Hop
from tests.replication.test_audit import NOW_US, line

HOPS = (Hop("r1", "edge", True),)
MEANT = Range(NOW_US - 60 * MINUTE_US, NOW_US, NOW_US)
SESSION = "20260101t000000-abcd"


def checks(*pages: Page) -> list[Check]:
    """Judge what pages of the last hour tell."""
    return judge(
        fold("r1", [replace(page, written_us=NOW_US - 150_000_000 + at) for at, page in enumerate(pages)]), HOPS, MEANT
    )


def page(place: str, *lines: object, **more: object) -> Page:
    """Return a page of a place."""
    return Page(place, "r1", 0, tuple(lines), **more)  # type: ignore[arg-type]


def test_books_in_order_pass_with_their_counts() -> None:
    """What was selected has arrived: PASS, and how much it was."""
    (check,) = checks(page("r1", line("imu", 9, 10, 6)), page("edge", line("imu", 9, 6, 6)))
    assert (check.verdict, check.subject) == ("PASS", "r1")
    assert "6 of 6 selected arrived at edge" in check.text


def test_before_the_first_page_nothing_is_wrong() -> None:
    """A robot that was started a moment ago has no ledger yet."""
    (check,) = judge(fold("r1", []), HOPS, MEANT)
    assert check.verdict == "PASS"


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        ({"refused": {"400 quota": 830}, "waiting": 5}, "edge refuses 830 records of r1 (400 quota) since"),
        ({"lost": {"evicted before it arrived": 7}}, "7 lost before edge had them (evicted before it arrived): cam"),
        ({"unexplained": 2}, "2 records unexplained"),
    ],
)
@pytest.mark.parametrize("minutes", [9, 600])
def test_a_standing_is_told_whichever_minute_it_is_about(standing: dict[str, object], words: str, minutes: int) -> None:
    """A reason is named with its count, its stream and the next command, also of records of long ago."""
    told = line("cam", minutes, 840, 840)
    lines = [line("cam", minutes, 3, 3)]
    item = Standing("edge", "sensor", "cam", told.minute_us, **standing)  # type: ignore[arg-type]
    found = checks(page("edge", *lines), page("r1", told, standings=(item,)))
    assert [check.verdict for check in found] == ["FAIL"]
    assert found[0].text.startswith(words)
    assert found[0].next_step is not None
    assert found[0].next_step.startswith("fleetbox ")


def test_a_settled_standing_is_no_news() -> None:
    """What was refused and has arrived since is over, as is what a person deleted."""
    told = line("cam", 9, 6, 6)
    first = Standing("edge", "sensor", "cam", told.minute_us, refused={"507 disk full": 6})
    for last in (replace(first, refused={}), replace(first, refused={"deleted there": 6})):
        pages = page("r1", told, standings=(first,)), page("edge", told), page("r1", standings=(last,))
        assert [check.verdict for check in checks(*pages)] == ["PASS"]


def test_drops_warn_and_holes_fail() -> None:
    """What a recorder gave up is said with its reason; a number that nobody gave up is worse."""
    spans = (Span(SESSION, 0, 10, 10), Span(SESSION, 15, 20, 5))
    lines = [line("imu", 9 - at, 1, spans=(span,)) for at, span in enumerate(spans)]
    drop = Drop("sensor", "imu", SESSION, 10, 3, "spool full", NOW_US - 9 * MINUTE_US)
    found = checks(page("r1", *lines, drops=(drop,)))
    assert [(check.verdict, check.text.split(" ")[0]) for check in found] == [("FAIL", "2"), ("WARN", "samples")]
