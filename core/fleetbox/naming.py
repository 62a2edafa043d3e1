"""Names of robots, sites, streams, classes and buckets, with the rules they obey."""

from __future__ import annotations

import re
from typing import Literal, get_args

from fleetbox.errors import InputError

Class = Literal["sensor", "media", "small", "log", "meta", "kept"]
CLASSES: tuple[Class, ...] = get_args(Class)
RING_CLASSES: tuple[Class, ...] = ("sensor", "media", "small", "log")  # FIFO on a robot; what an event may promote

MAX_ROBOT_CHARS = 63  # leaves room for "--sensor" within a file name on any system
MAX_STREAM_CHARS = 200  # an entry is a folder on disk and stands in one HTTP header of 8 kB
RESERVED_SITES = frozenset({"influx"})  # a hop's task "<bucket>-to-<site>" would be that of the site's own loader
PREVIEW, THUMBNAIL, VIDEO = "preview", "thumbnail", "video"  # last segments of streams made from a parent's pictures
SITE_DESK = "desk"  # bucket of a site's own: the rollouts begun there; no robot's, for it has no "--"
SMALL = (PREVIEW, THUMBNAIL)  # the resolutions below the original, finest first

_ROBOT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?")
_SEGMENT = re.compile(r"[A-Za-z0-9_-]+")
_ROUTES = frozenset({"batch", "q", "rename"})  # last segments that collide with the engine's own HTTP routes


def check_robot(name: str) -> str:
    """Return a robot id, or raise InputError naming the rule it breaks."""
    if len(name) > MAX_ROBOT_CHARS or "--" in name or not _ROBOT.fullmatch(name):
        raise InputError(
            f"robot id {name!r} is not usable",
            f"use 1 to {MAX_ROBOT_CHARS} of A-Z a-z 0-9 _ -, starting with a letter or digit, "
            "without '--' and not ending in '-'",
        )
    return name


def check_site(name: str) -> str:
    """Return a site name, or raise InputError; the rule is that of robot ids, less a few reserved names."""
    if name in RESERVED_SITES:
        raise InputError(f"site name {name!r} is reserved", "name the site otherwise, in fleet.toml and robot.toml")
    try:
        return check_robot(name)
    except InputError as error:
        raise InputError(error.message.replace("robot id", "site name"), error.next_step) from None


def check_stream(name: str) -> str:
    """Return a stream name, or raise InputError naming the rule it breaks."""
    segments = name.split("/")
    if not name or len(name) > MAX_STREAM_CHARS or not all(_SEGMENT.fullmatch(part) for part in segments):
        raise InputError(
            f"stream name {name!r} is not usable",
            f"use up to {MAX_STREAM_CHARS} of A-Z a-z 0-9 _ - in segments parted by single '/', such as cam/front",
        )
    if segments[-1] in _ROUTES:
        raise InputError(
            f"stream name {name!r} ends in {segments[-1]!r}, which the store keeps for its own HTTP routes",
            "add a segment or rename the last one",
        )
    return name


def stream_from_topic(topic: str) -> str:
    """Turn a topic of another system into a stream name: "/a.b/c d" -> "a_b/c_d"."""
    segments = [re.sub(r"[^A-Za-z0-9_-]", "_", part) for part in topic.split("/") if part]
    if segments and segments[-1] in _ROUTES:
        segments[-1] += "_"
    return check_stream("/".join(segments))


def parent_of(stream: str) -> tuple[str, str]:
    """Split the name of a stream made from another: "cam/front/preview" -> ("cam/front", "preview").

    The second is "" for a stream that is an original.
    """
    parent, _, last = stream.rpartition("/")
    return (parent, last) if parent and last in (*SMALL, VIDEO) else (stream, "")


def class_of(stream: str, cls: Class) -> Class:
    """Return the class of a stream whose type is of `cls`: small frames have a ring and a task of their own."""
    return "small" if cls == "media" and parent_of(stream)[1] in SMALL else cls


def site_bucket(robot: str, cls: str) -> str:
    """Name the bucket that holds one robot's class at a site: "r1--sensor"."""
    return f"{robot}--{cls}"


def desk_bucket(robot: str) -> str:
    """Name the bucket at a site that holds the orders for one robot: "r1--desk"; it neither travels nor is counted."""
    return f"{robot}--desk"


def split_bucket(bucket: str) -> tuple[str, Class] | None:
    """Split a site's bucket name into robot and class, or return None for a foreign bucket."""
    robot, mark, name = bucket.rpartition("--")
    for cls in CLASSES:
        if mark and cls == name and _ROBOT.fullmatch(robot):
            return robot, cls
    return None
