"""What a forecast says: how long rings hold, and when that is not long enough."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetbox.blobs import EntryInfo
from fleetbox.errors import InputError
from fleetbox_edge.forecast import HOUR_US, Forecast, RingOutlook, Seen, forecast, judge
from fleetbox_edge.health import EVERY_US, SOON_US, decode, draft, is_due
from fleetbox_edge.horizon import Ring

NOW_US = 1_700_000_000_000_000
CALM = Forecast(
    "r1", NOW_US, {"sensor": RingOutlook(10, 100, 1.0, 2.0, 6.0, 4.0)}, 10**10, None, 10**6, 10**9
)  # fmt: skip


def waiting(hours: float) -> Forecast:
    """Return the forecast with a record that has waited for so long."""
    ring = replace(CALM.rings["sensor"], oldest_us=NOW_US - round(hours * HOUR_US))
    return replace(CALM, rings={"sensor": ring})


def test_a_calm_robot_passes() -> None:
    """With nothing waiting, the check tells how long the rings hold."""
    (check,) = judge(CALM, NOW_US)
    assert (check.verdict, check.phrase) == ("PASS", None)
    assert check.text == "sensor holds 6.0 h, full in 4.0 h; kept 1.0 MB"


@pytest.mark.parametrize(("hours", "verdict"), [(0.1, "PASS"), (2.9, "PASS"), (3.1, "WARN"), (5.5, "FAIL")])
def test_what_waits_is_set_against_what_the_ring_holds(hours: float, verdict: str) -> None:
    """Half of the ring's time is a warning, nine tenths a failure; the text has both numbers."""
    (check,) = judge(waiting(hours), NOW_US)
    assert check.verdict == verdict
    if verdict != "PASS":
        assert f"is {hours:.1f} h old, the ring holds 6.0 h" in check.text
        assert check.next_step


def test_each_trouble_is_named() -> None:
    """Records that cannot be saved and a disk below its floor fail; a filling `kept` and disk warn."""
    at_risk = judge(replace(CALM, at_risk=7, full="kept is full"), NOW_US)
    assert [(check.verdict, "7 promoted records" in check.text) for check in at_risk] == [("FAIL", True)]
    filling = judge(replace(CALM, kept_bytes=8 * 10**8), NOW_US)
    assert [(check.verdict, check.phrase) for check in filling] == [("WARN", "kept nearly full")]
    below = judge(replace(CALM, spare_bytes=-5_000_000), NOW_US)
    assert [(check.verdict, "5.0 MB below the floor" in check.text) for check in below] == [("FAIL", True)]
    soon = judge(replace(CALM, floor_h=10.0), NOW_US)
    assert [(check.verdict, "floor in 10 h" in check.text) for check in soon] == [("WARN", True)]
    assert [check.verdict for check in judge(replace(CALM, floor_h=30.0), NOW_US)] == ["PASS"]


def test_it_is_made_from_what_was_seen() -> None:
    """Rings, rates, disk and what waits come together; without a disk nothing is said of it."""
    ring = Ring(7_200, (EntryInfo("imu", 10, 1, 3_600, NOW_US - HOUR_US, NOW_US),))
    made = forecast(Seen("r1", NOW_US, {"sensor": ring}, {"sensor": 1.0}, {"sensor": 5}, Ring(9), 1_800))
    outlook = made.rings["sensor"]
    assert (outlook.span_h, outlook.holds_h, outlook.full_h, outlook.oldest_us) == (1.0, 2.0, 1.0, 5)
    assert (made.floor_h, made.kept_quota_bytes) == (0.5, 9)
    assert forecast(Seen("r1", NOW_US, {"sensor": ring}, {"sensor": 1.0})).floor_h is None


def test_it_is_told_when_it_has_news() -> None:
    """The same forecast is told every ten minutes, one that is judged otherwise at once."""
    assert not is_due(CALM, replace(CALM, at_us=NOW_US + EVERY_US - 1))
    assert is_due(CALM, replace(CALM, at_us=NOW_US + EVERY_US))
    assert is_due(CALM, replace(CALM, at_us=NOW_US + 1, at_risk=1, full="kept is full"))
    assert is_due(CALM, replace(CALM, at_us=NOW_US - 1)), "the clock was set back"
    faster = {"sensor": replace(CALM.rings["sensor"], holds_h=2.0)}
    assert is_due(CALM, replace(CALM, at_us=NOW_US + SOON_US, rings=faster))
    assert not is_due(CALM, replace(CALM, at_us=NOW_US + SOON_US - 1, rings=faster))
    unknown = replace(CALM, rings={"sensor": replace(CALM.rings["sensor"], holds_h=None)})
    assert is_due(unknown, replace(CALM, at_us=NOW_US + 1)), "it is known now how long rings hold"
    assert not is_due(CALM, replace(unknown, at_us=NOW_US + 1))
    assert is_due(CALM, replace(CALM, at_us=NOW_US + SOON_US, rings={**CALM.rings, "media": CALM.rings["sensor"]}))


def test_it_is_read_as_it_was_written() -> None:
    """A record of a forecast comes back equal; other bytes are refused."""
    assert decode(draft(waiting(2)).data) == waiting(2)
    for wrong in (b"", b"{}", b"[]", b'{"robot":"r1","at_us":1,"rings":{"sensor":{}}}'):
        with pytest.raises(InputError):
            decode(wrong)
