"""What lerobot.toml says: which streams are state, action and picture, on which grid of time, for which task."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from fleetbox.errors import Fault, InputError, SettingsError
from fleetbox.selectors import Selector, is_glob
from fleetbox.settings.files import read_toml, validate
from fleetbox.settings.values import DurationUs, Table

Method = Literal["previous", "nearest", "linear"]
Dtype = Literal["float32", "float64", "int64", "bool", "string"]
ClockOf = Literal["record", "log", "publish", "header"]

PICTURES = "observation.images."  # a feature named so is a camera's, as LeRobot's own tools take it
MADE = ("timestamp", "frame_index", "episode_index", "index", "task_index", "ts_ns")  # written by the export itself
MOST_FPS = 1_000  # a frame a millisecond: numbers without pictures are exported at such rates
LONGEST_US = 3_600_000_000  # 1 h; the numbers of one episode are held in memory while it is made
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_SIZE = re.compile(r"(\d+)x(\d+)")


def _size(value: Any) -> tuple[int, int]:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(size) < 16 or max(size) > 8192 or size[0] % 2 or size[1] % 2:
        raise ValueError("write even numbers of pixels from 16 to 8192, like '640x480'")
    return size


class FeatureRule(Table):
    """Say what one feature is made of: STREAM[:FIELD] in order, and how it is brought onto the grid.

    None stands for what the whole map says; a bare list in the file is `from` alone.
    """

    sources: tuple[str, ...] = Field(alias="from", min_length=1)
    method: Method | None = None
    max_age: DurationUs | None = None
    dtype: Dtype = "float32"  # what policies are trained on
    size: Annotated[tuple[int, int], BeforeValidator(_size)] | None = None  # None: as the first picture comes

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"from": [value]}
        return {"from": value} if isinstance(value, list) else value

    @field_validator("sources")
    @classmethod
    def _are_streams(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            stream_of(text)
        return value

    @property
    def selectors(self) -> tuple[Selector, ...]:
        """Return the streams and fields, each with the robot left open."""
        return tuple(stream_of(text) for text in self.sources)


class VideoRule(Table):
    """Say how pictures become H.264: what LeRobot's decoders and editing tools take."""

    crf: int = Field(default=23, ge=0, le=51)  # x264's own default; 18 can hardly be told from the pictures
    preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium"] = "ultrafast"  # 2.5 ms a picture
    gop: int = Field(default=2, ge=1, le=300)  # LeRobot's own: training reads frames in random order


class LerobotMap(Table):
    """Say how streams become the frames of a LeRobot dataset."""

    fps: int = Field(ge=1, le=MOST_FPS)
    features: dict[str, FeatureRule] = Field(min_length=1)
    reference: str | None = None  # its records set the grid; None: a regular grid from the episode's first µs
    clock: ClockOf = "record"  # the only clock that every stream has
    method: Method = "previous"  # nothing from the future gets into an observation
    max_age: DurationUs = 100_000  # µs; three frames at 30 fps
    task: str = "episode.note"  # or event.kind, label.NAME, or the task's own text
    robot_type: str | None = None
    gaps: Literal["drop", "split"] = "drop"  # what a hole within an episode does: leave frames out, or begin another
    longest: DurationUs = LONGEST_US
    least_frames: int = Field(default=2, ge=1)  # fewer make no statistics
    statistics_every: int = Field(default=5, ge=1)  # every fifth picture, each pixel of it; 1 takes all, 2.5 ms each
    video: VideoRule = VideoRule()

    @field_validator("features")
    @classmethod
    def _names(cls, value: dict[str, FeatureRule]) -> dict[str, FeatureRule]:
        for name, rule in value.items():
            _check_feature(name, rule)
        return value

    @field_validator("reference")
    @classmethod
    def _is_stream(cls, value: str | None) -> str | None:
        if value is not None:
            stream_of(value)
        return value

    @model_validator(mode="after")
    def _reference_is_a_source(self) -> LerobotMap:
        sources = [one for rule in self.features.values() for one in rule.selectors]
        if self.reference and stream_of(self.reference).stream not in [one.stream for one in sources]:
            raise ValueError(f"reference {self.reference!r} is the stream of no feature")
        if self.reference and stream_of(self.reference).field:
            raise ValueError(f"reference {self.reference!r} is to be a stream, without a field")
        return self

    @property
    def pictures(self) -> dict[str, FeatureRule]:
        """Return the features that are cameras."""
        return {name: rule for name, rule in self.features.items() if name.startswith(PICTURES)}

    @property
    def numbers(self) -> dict[str, FeatureRule]:
        """Return the features that are vectors or text."""
        return {name: rule for name, rule in self.features.items() if not name.startswith(PICTURES)}

    @property
    def streams(self) -> tuple[Selector, ...]:
        """Return the streams that are needed, each once, with the robot left open."""
        found = dict.fromkeys(one.stream for rule in self.features.values() for one in rule.selectors)
        return tuple(Selector("*", stream) for stream in found)

    def method_of(self, rule: FeatureRule) -> Method:
        """Return how a feature is brought onto the grid."""
        return rule.method or self.method

    def age_us(self, rule: FeatureRule) -> int:
        """Return how old a feature's value may be on the grid."""
        return self.max_age if rule.max_age is None else rule.max_age


def stream_of(text: str) -> Selector:
    """Read STREAM[:FIELD] as a selector of any robot; raises InputError for globs in the stream's name."""
    found = Selector.parse(f"*/{text.strip('/')}")
    if is_glob(found.stream):
        raise InputError(
            f"{text!r} chooses several streams", "name each: the order of a feature's numbers must not depend on a glob"
        )
    return found


def parse_map(tables: dict[str, Any], path: Path) -> LerobotMap:
    """Return the map in a file's tables; raises SettingsError with every fault."""
    found, faults = validate(LerobotMap, tables, path)
    if found is None:
        raise SettingsError(faults, "`fleetbox config sample lerobot` shows one, `export lerobot --init` drafts yours")
    return found


def load_map(path: Path) -> LerobotMap:
    """Read a lerobot.toml; raises SettingsError."""
    return parse_map(read_toml(path), path)


def map_fault(path: Path, key: str, why: str) -> SettingsError:
    """Return the error that names one wrong value of a map."""
    return SettingsError([Fault(str(path), key, "", why)])


def _check_feature(name: str, rule: FeatureRule) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"feature {name!r}: use A-Z a-z 0-9 _ . - only; LeRobot takes no slash in a name")
    if name in MADE:
        raise ValueError(f"feature {name!r} is written by the export itself")
    if not name.startswith(PICTURES):
        if "image" in name:
            raise ValueError(f"feature {name!r}: to LeRobot a name with 'image' in it is a picture; use {PICTURES}NAME")
        if rule.size is not None:
            raise ValueError(f"feature {name!r}: only pictures have a size")
        if rule.dtype == "string" and len(rule.sources) > 1:
            raise ValueError(f"feature {name!r}: text comes from one field")
        return
    if len(rule.sources) > 1 or ":" in rule.sources[0]:
        raise ValueError(f"feature {name!r}: a camera is one stream, such as 'cam/front'")
    if rule.method == "linear":
        raise ValueError(f"feature {name!r}: pictures cannot be interpolated; use previous or nearest")
