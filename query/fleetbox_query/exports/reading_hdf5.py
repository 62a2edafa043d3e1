"""Read an HDF5 file of signals back, by channel and signal: `data.imu.ax`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from fleetbox.errors import InputError, NotFound
from fleetbox.extras import require
from fleetbox.time import iso_time

SHOWN = 8  # signals named on a channel's line


def read_hdf5(path: Path | str) -> Data:
    """Open an HDF5 file that `fleetbox export hdf5` wrote, or any with a group per channel and a dataset per signal.

    `data.channel.signal` is a numpy array, `data.signal` the same where only one channel has it, `print(data)` says
    what there is. A signal is read when it is asked for. Raises InputError for what is no HDF5 file.

    Example:
        data = fb.read_hdf5("brake.h5")
        data.imu.time, data.imu.ax
    """
    require("export")
    import h5py

    try:
        return Data(h5py.File(path, "r"), Path(path))
    except (OSError, RuntimeError) as error:  # h5py raises either for a damaged file
        raise InputError(
            f"cannot read {path} as HDF5: {error}", "check the path, and that its copy is whole"
        ) from error


class Channel:
    """Hold one group: its signals as arrays (`channel.ax`), `time` in Unix seconds, units (`channel.units("ax")`)."""

    def __init__(self, group: Any) -> None:
        self._group = group
        self.name = str(group.name).strip("/")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for signal in self.signals():
            if name in (signal, as_name(signal)):
                return self[signal]
        raise AttributeError(f"{self.name} has no signal {name!r}: it has {', '.join(self.signals())}")

    def __getitem__(self, name: str) -> Any:
        if name not in self._group:
            raise NotFound(f"{self.name} has no signal {name!r}", f"it has {', '.join(self.signals())}")
        try:
            held = self._group[name]
            return held.asstr()[:] if held.dtype.kind == "O" and _is_text(held) else held[:]
        except (OSError, RuntimeError) as error:
            where = f"{self._group.file.filename}: {self.name}/{name}"
            raise InputError(f"{where} does not open: {error}", "check that its copy is whole") from error

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *map(as_name, self.signals())]

    def __len__(self) -> int:
        return max((self._group[name].shape[0] for name in self.signals()), default=0)

    def __repr__(self) -> str:
        names = self.signals()
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        shown = ", ".join(f"{name} [{unit}]" if (unit := self.units(name)) else name for name in names[:SHOWN])
        return f"{self.name}  {len(self):,} rows{self._span()}  {shown}{more}"

    def signals(self) -> list[str]:
        """Return the names of the signals, `time` included."""
        import h5py

        return [name for name, held in self._group.items() if isinstance(held, h5py.Dataset)]

    def units(self, name: str) -> str:
        """Return a signal's unit, empty where none is stated."""
        return str(self._group[name].attrs.get("units", ""))

    def _span(self) -> str:
        if "time_us" not in self._group or not len(self):
            return ""
        times = self._group["time_us"]
        return f"  {iso_time(int(times[0]))} to {iso_time(int(times[-1]))}"


class Data:
    """Hold an open file; close it, or use it as a context manager. Channels by name: `data.imu`, `data["r1/imu"]`."""

    def __init__(self, file: Any, path: Path) -> None:
        self._file = file
        self._path = path
        self._channels = {one.name: one for one in _channels(file)}

    def __enter__(self) -> Data:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        channels = [one for full, one in self._channels.items() if name in _names(full)]
        owners = [one for one in self._channels.values() if name in map(as_name, one.signals())]
        if len(channels) == 1:
            return channels[0]
        if not channels and len(owners) == 1:
            return getattr(owners[0], name)
        found = [one.name for one in channels or owners]
        if not found:
            raise AttributeError(f"{self._path.name} has no channel or signal {name!r}: print(data) shows what it has")
        raise AttributeError(f"{name!r} is in {', '.join(found)}: say which, as in data[{found[0]!r}]")

    def __getitem__(self, name: str) -> Channel:
        if name not in self._channels:
            raise NotFound(f"{self._path.name} has no channel {name!r}", f"it has {', '.join(self._channels)}")
        return self._channels[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(as_name(name.rpartition("/")[2]) for name in self._channels)]

    def __repr__(self) -> str:
        return "\n".join(
            [f"{self._path.name}: {len(self)} channels", *(f"  {one!r}" for one in self._channels.values())]
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def as_name(name: str) -> str:
    """Return a name as Python can write it: `cam/front.x` is cam_front_x."""
    return "".join(mark if mark.isalnum() else "_" for mark in name)


def _names(full: str) -> set[str]:
    """Return what a channel may be called: in full, without the robot, by its last part."""
    return {as_name(full), as_name(full.partition("/")[2] or full), as_name(full.rpartition("/")[2])}


def _channels(group: Any) -> Iterator[Channel]:
    import h5py

    if any(isinstance(held, h5py.Dataset) for held in group.values()):
        yield Channel(group)
    for held in group.values():
        if isinstance(held, h5py.Group):
            yield from _channels(held)


def _is_text(held: Any) -> bool:
    import h5py

    return h5py.check_string_dtype(held.dtype) is not None
