"""Give the frames that a lerobot.toml means one by one, by number, as a map-style dataset of numpy arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fleetbox.errors import InputError
from fleetbox.settings.lerobot import LerobotMap
from fleetbox.settings.values import parse_size
from fleetbox_query.lerobot.album import Album
from fleetbox_query.lerobot.frame_table import gather_frames
from fleetbox_query.lerobot.units import Job
from fleetbox_query.question import Question
from fleetbox_query.session import Session

MEMORY_BYTES = 1_000_000_000  # of decoded pictures held by each process: a thousand of 640x480

Sample = dict[str, Any]


class Samples:
    """Hold the frames of a selection: `len()`, and by number a dict of numpy arrays, as torch's DataLoader takes it.

    A sample has the map's features (vectors of their dtype; pictures HxWx3 uint8, RGB), `task` (text), `timestamp` (s
    within the episode), `frame_index`, `episode_index`, `index` and `ts_ns`. Numbers are in memory; pictures, those
    that became video too, are read by blocks when asked for and kept, decoded, up to `memory` bytes in each process
    (and a fourth as much undecoded). Arrays may be those that are kept: change copies. It pickles, and workers connect
    for themselves. `skipped` names intervals that make no episode, `lacks` what was missing, `names` what each number
    of each vector is called.
    """

    def __init__(
        self, session: Session, question: Question, map_: LerobotMap, memory: str | int = MEMORY_BYTES
    ) -> None:
        memory_bytes = _bytes(memory)
        job = Job(session, question, map_)
        gathered, self._table = gather_frames(job)
        self.skipped, self.lacks, self.names, self.tasks = (
            gathered.skipped, gathered.lacks, gathered.names, gathered.tasks,
        )  # fmt: skip
        self._fps = map_.fps
        self._intervals = len(gathered.intervals)
        self._album = Album(job, gathered.intervals, self._table, memory_bytes)

    def __len__(self) -> int:
        return len(self._table.ts_ns)

    def __getitem__(self, at: int) -> Sample:
        """Return a frame. Raises NotFound where a picture left its ring since, InputError where one does not decode."""
        count = len(self)
        if not -count <= at < count:
            raise IndexError(f"frame {at} of {count}")
        at %= count
        table = self._table
        sample: Sample = {feature: values[at] for feature, values in table.numbers.items()}
        interval, frame = int(table.interval[at]), int(table.frame[at])
        for feature in table.stamps:
            sample[feature] = self._album.picture(feature, at)
        return sample | {
            "task": self.tasks[interval],
            "timestamp": frame / self._fps,
            "frame_index": frame,
            "episode_index": int(table.episode[at]),
            "index": at,
            "ts_ns": int(table.ts_ns[at]),
        }

    def __getitems__(self, numbers: Sequence[int]) -> list[Sample]:
        """Return frames by their numbers, as torch's DataLoader asks for a batch: their pictures are read together."""
        count = len(self)
        self._album.fetch(at % count for at in numbers if -count <= at < count)
        return [self[at] for at in numbers]

    def __iter__(self) -> Iterator[Sample]:
        return (self[at] for at in range(len(self)))

    def __repr__(self) -> str:
        features = ", ".join((*self._table.numbers, *self._table.stamps))
        return f"Samples({len(self):,} frames, {len(self.episodes)} episodes: {features})"

    def load(self) -> int:
        """Read pictures in order of time until all are held or the memory is full, and return how many are held.

        Else they are read by blocks as they are asked for, and where those find no room one by one.

        Example:
            samples = fleet.select("r1/**").last("10m").torch("lerobot.toml")
            samples.load()
        """
        for number in range(self._intervals):
            if not self._album.fill(number):
                break
        return len(self._album)

    @property
    def episodes(self) -> list[tuple[int, int]]:
        """Return the (first, last + 1) frame of each episode."""
        import numpy as np

        starts = np.flatnonzero(np.diff(self._table.episode, prepend=-1)).tolist()
        return list(zip(starts, [*starts[1:], len(self)], strict=True))

    def close(self) -> None:
        """Close the connection, where this process made one of its own, and let the pictures go."""
        self._album.close()


def _bytes(memory: str | int) -> int:
    try:
        return parse_size(memory)
    except ValueError as error:
        raise InputError(f"memory {memory!r} is no size: {error}", 'give one such as "1 GB", or bytes') from None
