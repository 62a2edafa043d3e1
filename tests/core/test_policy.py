"""policy.toml: what its words mean, and what it refuses."""

from __future__ import annotations

import pytest

from fleetbox.errors import SettingsError
from fleetbox.settings import parse_policy

WHOLE = """
version = 7
name    = "warehouse"
expires = 2027-01-31T00:00:00Z
[stream."cam/*"]
ship      = "event"
preview   = { every = "500ms" }
thumbnail = {}
video     = { after = "1h" }
retention = "24h"
[stream."lidar/*"]
ring = "ram 60 s"
[stream."log/**"]
ship = "always"
at   = "22:00-06:00"
[stream."map"]
ship = "always"
at   = "idle"
to   = "edge"
[stream."secret/*"]
ship    = "never"
preview = {}
[event.hard_brake]
pre        = "30s"
resolution = "preview"
to         = "edge"
[trigger.hard_brake]
on    = "imu"
when  = "ax < -4.0"
hold  = "200ms"
using = { bat = "battery" }
between = "06:00-22:00"
[trigger.yard]
on    = "gps"
fence = { circle = [52.5, 13.4, 50] }
[trigger.blind]
on  = "cam/front"
gap = "2s"
[uplink]
max = "8 Mbit/s"
[budget]
bytes_per_day = "2 GB"
cpu           = "15 %"
[idle]
on   = "battery"
when = "charging"
"""


def test_a_whole_policy_is_read() -> None:
    """Every word of a policy has its place and its unit."""
    policy = parse_policy(WHOLE)
    cam, trigger = policy.stream["cam/*"], policy.trigger["hard_brake"]
    assert cam.preview is not None
    assert cam.thumbnail is not None
    assert (cam.preview.size, cam.preview.every) == ((640, 360), 500_000)
    assert (cam.thumbnail.size, cam.thumbnail.every) == ((120, 68), 10_000_000)
    assert policy.rule_for("lidar/top").ring == 60_000_000
    assert policy.rule_for("imu").ring is None
    assert (trigger.hold, trigger.mode, trigger.event) == (200_000, "rising", None)
    assert trigger.between is not None
    assert [trigger.between.hold(60 * hour) for hour in (5, 6, 21, 22)] == [False, True, True, False]
    assert policy.uplink is not None
    assert policy.uplink.max == 1_000_000
    assert (policy.budget.bytes_per_day, policy.budget.cpu) == (2_000_000_000, 0.15)
    assert policy.expires_us == 1_801_353_600_000_000


def test_hours_span_midnight() -> None:
    """22:00-06:00 holds at night and not at noon."""
    hours = parse_policy(WHOLE).stream["log/**"].at
    assert hours is not None
    assert hours != "idle"
    assert [hours.hold(minute) for minute in (0, 359, 360, 719, 1319, 1320)] == [True, True, False, False, False, True]


@pytest.mark.parametrize(
    ("stream", "ship", "to"),
    [
        ("cam/front", "event", "cloud"),
        ("cam/front/preview", "always", "cloud"),
        ("cam/front/thumbnail", "always", "cloud"),
        ("cam/front/video", "event", "cloud"),
        ("secret/x/preview", "never", "cloud"),
        ("map", "always", "edge"),
        ("other", "event", "cloud"),
        ("other/preview", "event", "cloud"),
    ],
)
def test_small_frames_follow_their_parent(stream: str, ship: str, to: str) -> None:
    """The rule of small frames comes from their parent's, and a parent that never travels has none that do."""
    rule = parse_policy(WHOLE).rule_for(stream)
    assert (rule.ship, rule.to) == (ship, to)


def test_the_hash_names_the_whole_policy() -> None:
    """Every change of meaning changes the hash, comments and order of tables do not."""
    policy = parse_policy(WHOLE)
    assert parse_policy("# words\n" + WHOLE).hash == policy.hash
    assert parse_policy(WHOLE.replace("-4.0", "-4.1")).hash != policy.hash
    assert parse_policy(WHOLE.replace("15 %", "16 %")).hash != policy.hash


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('[stream.a]\nring = "ram 20 min"', "stream.a.ring"),
        ('[stream.a]\nring = "ram"', "stream.a.ring"),
        ('[stream.a]\nring = "ram 9 s"\nship = "always"', "stream.a"),
        ('[stream.a]\nkeep = "preview"', "stream.a"),
        ('[stream.a]\nship = "event"\nat = "idle"', "stream.a"),
        ('[stream.a]\nship = "always"\nat = "25:00-26:00"', "stream.a.at"),
        ('[stream.a]\npreview = { size = "640" }', "stream.a.preview.size"),
        ('[event.a]\npre = "301s"', "event.a.pre"),
        ('[event.a]\nresolution = "tiny"', "event.a.resolution"),
        ('[trigger.a]\non = "imu"', "trigger.a"),
        ('[trigger.a]\non = "imu"\ngap = "2s"\nwhen = "true"', "trigger.a"),
        ('[trigger.a]\non = "gps"\nfence = { }', "trigger.a.fence"),
        ('[trigger.a]\non = "gps"\nfence = { circle = [1, 2, 0] }', "trigger.a.fence"),
        ('[trigger.a]\non = "gps"\nfence = { polygon = [[0, 0], [1, 1], [0, 0]] }', "trigger.a.fence"),
        ('[budget]\ncpu = "120 %"', "budget.cpu"),
        ("expires = 2027-01-31T00:00:00", "expires"),
        ("nonsense = 1", "nonsense"),
    ],
)
def test_what_cannot_be_is_named(text: str, key: str) -> None:
    """A policy that cannot hold is refused with the key at fault."""
    with pytest.raises(SettingsError) as refused:
        parse_policy(text, "p.toml")
    assert [fault.key for fault in refused.value.faults] == [key]


def test_a_duration_out_of_bounds_is_told_as_people_write_one() -> None:
    """Neither the value nor its bound is told in µs; what is within is a plain whole number of them."""
    with pytest.raises(SettingsError) as refused:
        parse_policy('[event.x]\npre = "400s"\npost = "1h"', "p.toml")
    assert [(fault.value, fault.why) for fault in refused.value.faults] == [
        ("'400s'", "should be at most 5.0 min"),
        ("'1h'", "should be at most 2.0 min"),
    ]
    assert type(parse_policy('[event.x]\npre = "40s"').event_rule("x").pre) is int


def test_a_text_that_is_no_toml_is_refused() -> None:
    """A text that is no TOML at all is a fault with its place."""
    with pytest.raises(SettingsError, match=r"p\.toml: line: "):
        parse_policy("[stream", "p.toml")
