"""Decide which views a recording opens with, by what was put into it; plain values, so that it can be tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from fleetbox.naming import parent_of

Kind = Literal["curve", "state", "picture", "space", "place", "line", "text", "sound", "chart"]
Arrangement = Literal["rows", "columns", "grid", "tabs"]

PAGE = 9  # views beside each other: more are too small to read on a laptop, so they go on another page
MOST_CURVES = 8  # in one plot: more colours nobody tells apart, so nested fields get a plot for each group
ASIDE = ("stamp.sec", "stamp.nanosec", "covariance", "frame_id")  # of ROS messages: they flatten or crowd out the rest
EVENTS, EPISODES = "events", "episodes"  # below the robot's name, beside its streams


@dataclass(frozen=True, slots=True)
class Shown:
    """Say as what something of a stream is shown, and at which path; field and unit where it is a column."""

    kind: Kind
    robot: str
    stream: str
    path: str
    field: str = ""
    unit: str = ""


@dataclass(frozen=True, slots=True)
class View:
    """Hold one view: what it shows, its title, the paths in it."""

    kind: Kind
    name: str
    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Box:
    """Hold views or boxes and how they are arranged; shares are their sizes in proportion, () where all are alike."""

    arrangement: Arrangement
    name: str
    parts: tuple[Box | View, ...]
    shares: tuple[float, ...] = ()


def layout(shown: Iterable[Shown]) -> Box | View | None:
    """Return the views for what is shown: a tab for each robot; None where there is nothing.

    Pictures, space and a map above, curves below them, at the bottom states beside lines of text.
    """
    by_robot: dict[str, list[Shown]] = {}
    for one in sorted(set(shown), key=lambda one: (one.robot, one.stream, one.field)):
        by_robot.setdefault(one.robot, []).append(one)
    return _boxed("tabs", "", [_of_robot(robot, found) for robot, found in by_robot.items()])


def _of_robot(robot: str, shown: Sequence[Shown]) -> Box | View:
    pictures = _originals([one for one in shown if one.kind == "picture"])
    above = _boxed("columns", "", [_paged([_view(one) for one in pictures]), _space(shown), _map(shown)], (2, 1, 1))
    curves = _paged(_plots([one for one in shown if one.kind == "curve"]))
    states = _telling([one for one in shown if one.kind == "state"])
    below = _boxed("columns", "", [_together("state", "states and events", states), _lines(shown), _rest(shown)])
    made = _boxed("rows", robot, [above, curves, below], (3 if pictures else 2, 3, 2))
    return made if made is not None else Box("tabs", robot, ())


def _originals(pictures: Sequence[Shown]) -> list[Shown]:
    """Return pictures without smaller copies and videos of streams that are shown themselves."""
    names = {one.stream for one in pictures}
    return [one for one in pictures if not (parent_of(one.stream)[1] and parent_of(one.stream)[0] in names)]


def _space(shown: Sequence[Shown]) -> Box | View | None:
    """Return a view for each stream in space: each counts from its own origin."""
    return _boxed("tabs", "", [_view(one) for one in shown if one.kind == "space"])


def _map(shown: Sequence[Shown]) -> View | None:
    paths = tuple(dict.fromkeys(one.path for one in shown if one.kind == "place"))
    return View("place", "map", paths) if paths else None


def _lines(shown: Sequence[Shown]) -> View | None:
    return _together("line", "log and events", shown)


def _together(kind: Kind, name: str, shown: Sequence[Shown]) -> View | None:
    paths = tuple(dict.fromkeys(one.path for one in shown if one.kind == kind))
    return View(kind, name, paths) if paths else None


def _rest(shown: Sequence[Shown]) -> Box | View | None:
    return _boxed("tabs", "", [_view(one) for one in shown if one.kind in ("text", "chart", "sound")])


def _view(one: Shown) -> View:
    return View(one.kind, f"{one.stream}: {one.field}" if one.field else one.stream, (one.path,))


def _plots(curves: Sequence[Shown]) -> list[View]:
    """Return a plot for each stream, or for each of its units."""
    by_unit: dict[tuple[str, str], list[Shown]] = {}
    for one in curves:
        by_unit.setdefault((one.stream, one.unit), []).append(one)
    streams = [stream for stream, _ in by_unit]
    plots = []
    for (stream, unit), found in by_unit.items():
        told = _telling(found)
        title = f"{stream}: {_first(told)}" if streams.count(stream) > 1 else stream
        ending = f" [{unit}]" if unit else ""
        plots += [View("curve", f"{name}{ending}", paths) for name, paths in _grouped(stream, title, told)]
    return plots


def _telling(found: Sequence[Shown]) -> list[Shown]:
    """Return those that say something, or all where none does."""
    return [one for one in found if not one.field.endswith(ASIDE)] or list(found)


def _grouped(stream: str, title: str, curves: Sequence[Shown]) -> list[tuple[str, tuple[str, ...]]]:
    groups: dict[str, list[str]] = {}
    for one in curves:
        groups.setdefault(one.field.rpartition(".")[0], []).append(one.path)
    if len(curves) <= MOST_CURVES or len(groups) == 1:
        return [(title, tuple(one.path for one in curves))]
    return [(f"{stream}: {group}" if group else stream, tuple(paths)) for group, paths in groups.items()]


def _first(curves: Sequence[Shown]) -> str:
    more = f" +{len(curves) - 3}" if len(curves) > 3 else ""
    return ", ".join(one.field for one in curves[:3]) + more


def _paged(views: Sequence[View]) -> Box | View | None:
    pages = [_boxed("grid", _title(views[at : at + PAGE]), views[at : at + PAGE]) for at in range(0, len(views), PAGE)]
    return _boxed("tabs", "", pages)


def _title(views: Sequence[View]) -> str:
    return views[0].name if len(views) == 1 else f"{views[0].name} to {views[-1].name}"


def _boxed(
    arrangement: Arrangement, name: str, parts: Sequence[Box | View | None], shares: Sequence[float] = ()
) -> Box | View | None:
    """Return a box of those that are there; one alone stands for itself, unless it would lose its name."""
    there = [(part, share) for part, share in zip(parts, shares or [1.0] * len(parts), strict=True) if part is not None]
    if not there:
        return None
    if len(there) == 1 and not (name and arrangement == "rows"):
        return there[0][0]
    sizes = tuple(share for _, share in there) if shares else ()
    return Box(arrangement, name, tuple(part for part, _ in there), sizes)
