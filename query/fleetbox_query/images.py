"""Give out the pictures of a selection as arrays, in order of time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.items import Item
from fleetbox_query.provenance import Provenance
from fleetbox_query.streaming import Records

if TYPE_CHECKING:
    import numpy as np

Color = Literal["rgb", "bgr"]
PICTURES = "images"


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """Hold one picture: `array` is HxW or HxWx3 (or x4) of its own depth, `time_us` µs since the epoch.

    place: the site or robot it was read from.
    """

    robot: str
    stream: str
    time_us: int
    labels: Mapping[str, str]
    array: np.ndarray[Any, Any]
    place: str = ""

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.array.shape))
        return f"Image({self.robot}/{self.stream} at {iso_time(self.time_us)}: {size} {self.array.dtype})"


class Images(Iterator[Image]):
    """Iterate over pictures, decoded one by one; what is no picture is passed over.

    A picture that does not decode is passed over too and named in `provenance`, as are places that did not answer;
    a PartialAnswer warns of it at the end. `passed_over` counts items that are no pictures.
    """

    def __init__(self, records: Records, color: Color, *, warn: bool = True) -> None:
        if color not in ("rgb", "bgr"):
            records.close()
            raise InputError(f"color {color!r} is not known", 'use "rgb" or "bgr", the order OpenCV has')
        self._records = records
        self._color = color
        self._warn = warn
        self._broken: list[str] = []
        self.passed_over = 0

    def __repr__(self) -> str:
        return f"Images({', '.join(dict.fromkeys(one.name for one in self._records.sources))})"

    @property
    def provenance(self) -> Provenance:
        """Return where the pictures so far came from and what is missing."""
        found = self._records.provenance
        return replace(found, unreadable=(*found.unreadable, *self._broken))

    def __next__(self) -> Image:
        for item in self._records:
            if item.type != PICTURES:
                self.passed_over += 1
                continue
            if (picture := self._decoded(item)) is not None:
                return picture
        if self._warn:
            self._warn = False
            self.provenance.warn()
        raise StopIteration

    def close(self) -> None:
        """Stop reading ahead."""
        self._records.close()

    def _decoded(self, item: Item) -> Image | None:
        try:
            array = item.value
        except InputError as error:
            self._broken.append(error.message)
            return None
        if self._color == "rgb" and array.ndim == 3:
            import cv2

            array = cv2.cvtColor(array, cv2.COLOR_BGRA2RGBA if array.shape[2] == 4 else cv2.COLOR_BGR2RGB)
        return Image(item.robot, item.stream, item.time_us, item.labels, array, item.place)
