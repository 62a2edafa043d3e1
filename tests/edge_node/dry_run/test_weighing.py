"""What a policy would send is weighed once per record, by rule and by the union of windows."""

from __future__ import annotations

from fleetbox.events import Event
from fleetbox.records import Head
from fleetbox.settings import parse_policy
from fleetbox_edge.dry_run import Scales

S = 1_000_000


def head(stream: str, t: float, size: int = 100, **labels: str) -> Head:
    """Return what a store says of a record."""
    return Head("b", stream, round(t * S), size, dict(labels), "image/jpeg")


def event(start: float, stop: float, streams: tuple[str, ...] = ("**",), **more: str) -> Event:
    """Return an event with a window in seconds."""
    return Event("e", "k", "r1", round(start * S), round(start * S), round(stop * S), streams, **more)  # type: ignore[arg-type]


def test_overlapping_windows_cost_once() -> None:
    """Ten windows over the same records weigh what one does."""
    policy = parse_policy("")
    events = [event(10 + number / 10, 20 + number / 10) for number in range(10)]
    scales = Scales(policy, {"imu": "sensor"}, events)
    for t in range(60):
        scales.add("sensor", head("imu", t))
    weighed = scales.streams["imu"]
    assert (weighed.recorded_bytes, weighed.event_bytes, weighed.always_bytes) == (6_000, 1_100, 0)
    assert scales.selected_bytes == 1_100


def test_a_chunk_that_reaches_into_a_window_is_taken() -> None:
    """A chunk counts by its last row as well as by its first."""
    scales = Scales(parse_policy(""), {"imu": "sensor"}, [event(10, 12)])
    scales.add("sensor", head("imu", 6, rows="50", t_end=str(round(10.5 * S))))
    scales.add("sensor", head("imu", 2, rows="50", t_end=str(round(6.9 * S))))
    assert scales.streams["imu"].event_bytes == 100


def test_rules_decide() -> None:
    """What ships always, never and by event is told apart; events that stay on the robot send nothing."""
    policy = parse_policy(
        '[stream.health]\nship = "always"\n[stream."debug/**"]\nship = "never"\n'
        '[stream.slow]\nship="always"\nevery="10s"\n'
    )
    events = [event(0, 100, ("debug/**", "imu"), to="robot"), event(0, 5, ("debug/**", "imu"))]
    scales = Scales(policy, dict.fromkeys(("health", "debug/a", "imu", "slow"), "sensor"), events)
    for t in range(20):
        for stream in ("health", "debug/a", "imu", "slow"):
            scales.add("sensor", head(stream, t))
    weights = {name: one.selected_bytes for name, one in scales.streams.items()}
    assert weights == {"health": 2_000, "debug/a": 0, "imu": 600, "slow": 200}
    assert scales.recorded_bytes == 8_000


def test_small_frames_are_estimated_where_nobody_made_them() -> None:
    """Thumbnails a policy would make are weighed at a typical size; those recorded, at their own and their own rate."""
    policy = parse_policy('[stream."cam/*"]\nthumbnail = { every = "10s" }\n[event.default]\n')
    scales = Scales(policy, {"cam/front": "media"}, [])
    for t in range(30):
        scales.add("media", head("cam/front", t, type="images"))
    made = scales.streams["cam/front/thumbnail"]
    assert (made.records, made.estimated, made.always_bytes) == (3, True, 7_500)
    scales = Scales(policy, {"cam/front": "media", "cam/front/thumbnail": "small"}, [])
    for t in range(30):
        scales.add("media", head("cam/front", t, type="images"))
        scales.add("small", head("cam/front/thumbnail", t, 7, type="images"))
    assert scales.streams["cam/front/thumbnail"].always_bytes == 21
    assert scales.recorded_bytes == 3_000  # small frames are no part of what there was to send


def test_a_preview_event_takes_small_frames_only() -> None:
    """An event at resolution `preview` weighs the small frames and not the originals."""
    policy = parse_policy('[stream."cam/*"]\npreview = { every = "1s", ship = "event" }\n')
    scales = Scales(policy, {"cam/front": "media", "imu": "sensor"}, [event(0, 9, resolution="preview")])
    for t in range(30):
        scales.add("media", head("cam/front", t, type="images"))
        scales.add("sensor", head("imu", t))
    assert scales.streams["cam/front"].event_bytes == 0
    assert scales.streams["cam/front/preview"].event_bytes == 400_000
    assert scales.streams["imu"].event_bytes == 1_000


def test_the_busiest_day() -> None:
    """The most selected within 24 hours is what a budget is held against."""
    scales = Scales(parse_policy('[stream.a]\nship = "always"\n'), {"a": "sensor"}, [])
    for hour in range(72):
        scales.add("sensor", head("a", hour * 3600, 10 if hour < 48 else 30))
    assert scales.busiest_day_bytes() == 24 * 30
