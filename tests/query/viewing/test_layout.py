"""Which views a recording opens with: plain values in, plain values out."""

from __future__ import annotations

from collections.abc import Iterator

from fleetbox_query.viewing.layout import PAGE, Box, Kind, Shown, View, layout


def _shown(kind: Kind, stream: str, field: str = "", unit: str = "", robot: str = "r1") -> Shown:
    return Shown(kind, robot, stream, "/".join(filter(None, (robot, stream, field))), field, unit)


def _views(one: Box | View | None) -> Iterator[View]:
    if isinstance(one, View):
        yield one
    for part in one.parts if isinstance(one, Box) else ():
        yield from _views(part)


def test_a_robot_at_a_glance() -> None:
    """Pictures, space and the map stand above, curves below them, states and lines at the bottom."""
    found = layout([
        _shown("line", "driver"), _shown("state", "odom", "mode"), _shown("curve", "imu", "ax"), _shown("place", "gps"),
        _shown("space", "lidar"), _shown("picture", "cam/front"), _shown("picture", "cam/back"),
    ])  # fmt: skip
    assert isinstance(found, Box)
    assert found.arrangement == "rows"
    above, curves, below = found.parts
    assert [view.name for view in _views(above)] == ["cam/back", "cam/front", "lidar", "map"]
    assert list(_views(curves)) == [View("curve", "imu", ("r1/imu/ax",))]
    assert [view.kind for view in _views(below)] == ["state", "line"]


def test_nothing_shown() -> None:
    """Without anything there is no layout."""
    assert layout([]) is None


def test_robots_have_tabs() -> None:
    """Each robot has a tab of its own, under its name."""
    found = layout([_shown("picture", "cam", robot=robot) for robot in ("r2", "r1")])
    assert isinstance(found, Box)
    assert (found.arrangement, [part.name for part in found.parts]) == ("tabs", ["r1", "r2"])


def test_a_plot_for_each_unit() -> None:
    """A stream has one plot, with its unit in the title; of several units each has its own."""
    units = {"ax": "m/s²", "ay": "m/s²", "temp": "°C"}
    shown = [_shown("curve", "imu", name, unit) for name, unit in units.items()]
    views = [*_views(layout([*shown, _shown("curve", "odom", "vx", "m/s")]))]
    assert [view.name for view in views] == ["imu: ax, ay [m/s²]", "imu: temp [°C]", "odom [m/s]"]
    assert views[0].paths == ("r1/imu/ax", "r1/imu/ay")


def test_many_fields_by_their_groups() -> None:
    """More nested fields than colours are plotted group by group; the stamps of ROS headers would flatten them."""
    names = [f"{group}.{axis}" for group in ("gyro", "acc", "turn") for axis in "xyz"]
    views = [*_views(layout([_shown("curve", "imu", name) for name in (*names, "header.stamp.sec", "acc_covariance")]))]
    assert [view.name for view in views] == ["imu: acc", "imu: gyro", "imu: turn"]
    assert sum(len(view.paths) for view in views) == len(names)


def test_smaller_copies_stand_back() -> None:
    """Previews and videos of a stream that is shown itself take no room; alone they are shown."""
    names = ("cam", "cam/preview", "cam/thumbnail", "cam/video", "back/preview")
    assert [view.name for view in _views(layout([_shown("picture", name) for name in names]))] == [
        "back/preview",
        "cam",
    ]


def test_many_views_have_pages() -> None:
    """What does not fit beside each other goes on further pages, none is forgotten."""
    shown = [_shown("curve", f"s{at:02}", "x") for at in range(2 * PAGE + 1)]
    found = layout(shown)
    assert isinstance(found, Box)
    (pages,) = found.parts
    assert isinstance(pages, Box)
    assert (pages.arrangement, len(pages.parts)) == ("tabs", 3)
    assert pages.parts[0].name == "s00 to s08"
    assert len([*_views(found)]) == len(shown)
