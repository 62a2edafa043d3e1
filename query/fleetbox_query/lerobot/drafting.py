"""Draft a lerobot.toml from the streams there are: cameras as pictures, what sounds like commands as action."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from fleetbox.errors import NotFound
from fleetbox.naming import SMALL, VIDEO, parent_of
from fleetbox.settings.lerobot import PICTURES
from fleetbox_query.streams import Stream

FPS = 30  # where no camera says otherwise
_ACTION = re.compile(r"action|command|cmd|target|goal|setpoint|leader")
_STATE = re.compile(r"joint|state|arm|follower|proprio|encoder|pose|odom")
_NUMBER = re.compile(r"u?int\d*|float\d*|double|bool|half")
_SAFE = re.compile(r"[A-Za-z0-9_./-]+")


def draft_map(streams: Iterable[Stream]) -> str:
    """Return the text of a lerobot.toml for the first robot's streams; raises NotFound where none could be a feature.

    It is a guess to be corrected: every other stream of numbers stands below it as a comment.
    """
    found = [one for one in streams if one.cls != "meta" and _SAFE.fullmatch(one.stream)]
    robot = min((one.robot for one in found), default="")
    own = [one for one in found if one.robot == robot]
    cameras = [one for one in own if one.type == "images" and parent_of(one.stream)[1] not in (*SMALL, VIDEO)]
    numbers = [one for one in own if one.type == "time_series" and numeric_fields(one)]
    if not cameras and not numbers:
        raise NotFound("none of the chosen streams holds pictures or numbers", "`fleetbox ls` shows what there is")
    action = _first(numbers, _ACTION)
    state = _first([one for one in numbers if one is not action], _STATE)
    state = state or next((one for one in numbers if one is not action), None)
    rest = [one for one in numbers if one not in (action, state)]
    lines = [
        f"# lerobot.toml, drafted from the streams of {robot}: correct what was guessed.",
        *_head(cameras, numbers),
    ]
    lines += ["", "[features]"]
    lines += [_line("observation.state", state)] if state else []
    lines += [_line("action", action)] if action else []
    names = picture_names([one.stream for one in cameras])
    lines += [_line(f"{PICTURES}{name}", one) for name, one in zip(names, cameras, strict=True)]
    lines += [f"# {_line(f'observation.{_plain(one.stream)}', one)}" for one in rest]
    return "\n".join(lines) + "\n"


def picture_names(streams: Sequence[str]) -> list[str]:
    """Return a short name for each camera: its last part, or all of them where two would be alike."""
    short = [_plain(stream.rpartition("/")[2]) for stream in streams]
    return [name if short.count(name) == 1 else _plain(stream) for name, stream in zip(short, streams, strict=True)]


def numeric_fields(stream: Stream) -> list[str]:
    """Return the fields of a stream that are numbers or lists of them."""
    return [name for name, said in stream.fields.items() if _NUMBER.fullmatch(str(said.get("dtype", "")))]


def _head(cameras: Sequence[Stream], numbers: Sequence[Stream]) -> list[str]:
    rates = [round(one.hz) for one in cameras or numbers if one.hz and one.hz >= 1]
    fps = min([FPS, *rates])
    said = [f"fps       = {fps}"]
    if cameras:
        said.append(f'reference = "{cameras[0].stream}"')
    age_ms = max(100, round(3_000 / fps))
    return [*said, 'clock     = "record"', f'max_age   = "{age_ms}ms"', 'task      = "episode.note"']


def _line(feature: str, stream: Stream) -> str:
    numbers = numeric_fields(stream) if stream.type != "images" else []
    whole = not numbers or len(numbers) == len(stream.fields)
    sources = [stream.stream] if whole else [f"{stream.stream}:{name}" for name in numbers]
    text = ", ".join(f'"{source}"' for source in sources)
    rate = f"{stream.hz:.3g} Hz" if stream.hz else "rate unknown"
    return f'"{feature}" = [{text}]  # {rate}' + (f", {stream.fields_text()}" if stream.fields else "")


def _first(streams: Sequence[Stream], words: re.Pattern[str]) -> Stream | None:
    return next((one for one in streams if words.search(one.stream.lower())), None)


def _plain(stream: str) -> str:
    """Return a stream's name as part of a feature's; 'image' in one would make LeRobot take numbers for pictures."""
    return re.sub(r"[^A-Za-z0-9_]", "_", stream).replace("image", "picture")
