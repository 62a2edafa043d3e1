"""An HDF5 file reads back by channel and signal, and says what it has."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from fleetbox.errors import InputError, NotFound
from fleetbox_query.exports.reading_hdf5 import read_hdf5


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of two channels, and one signal that both have."""
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, signals in (
            ("r1/imu", {"ax": [1.0, 2.0], "t.x": [0, 1]}),
            ("r1/arm/joints", {"q": [[1, 2], [3, 4]]}),
        ):
            group = file.create_group(name)
            for signal, values in {**signals, "time_us": [1_700_000_000_000_000, 1_700_000_001_000_000]}.items():
                group.create_dataset(signal, data=np.array(values))
            group.create_dataset("mode", data=["on", "off"], dtype=h5py.string_dtype())
        file["r1/imu/ax"].attrs["units"] = "m/s2"
    return tmp_path / "x.h5"


def test_channels_and_signals(path: Path) -> None:
    """data.channel.signal, data.signal where one channel has it, and names with dots and slashes."""
    with read_hdf5(path) as data:
        assert data.imu.ax.tolist() == [1.0, 2.0]
        assert data.ax.tolist() == [1.0, 2.0]
        assert data.imu.t_x.tolist() == [0, 1]
        assert data.joints.q.tolist() == data.arm_joints.q.tolist() == data["r1/arm/joints"]["q"].tolist()
        assert data.imu.mode.tolist() == ["on", "off"]
        assert data.imu.units("ax") == "m/s2"
        assert list(data) == ["r1/arm/joints", "r1/imu"]


def test_it_says_what_it_has(path: Path) -> None:
    """print(data) names channels, rows, times and signals with units."""
    with read_hdf5(path) as data:
        text = str(data)
    assert "2 channels" in text
    assert "r1/imu  2 rows  2023-11-14T22:13:20.000000Z to 2023-11-14T22:13:21.000000Z" in text
    assert "ax [m/s2]" in text


def test_wrong_names_say_which_there_are(path: Path, tmp_path: Path) -> None:
    """A signal of two channels, one of none, a channel of none, a file that is none."""
    with read_hdf5(path) as data:
        with pytest.raises(AttributeError, match="r1/arm/joints, r1/imu"):
            _ = data.mode
        with pytest.raises(AttributeError, match="no channel or signal"):
            _ = data.nothing
        with pytest.raises(AttributeError, match="it has ax"):
            _ = data.imu.nothing
        with pytest.raises(NotFound, match="r1/x"):
            _ = data["r1/x"]
    (tmp_path / "no.h5").write_text("no")
    with pytest.raises(InputError, match=r"no\.h5"):
        read_hdf5(tmp_path / "no.h5")


def test_a_file_that_was_cut_off(path: Path, tmp_path: Path) -> None:
    """However much of it is there, it is an InputError that names the file; a folder and no file too."""
    data = path.read_bytes()
    torn = tmp_path / "torn.h5"
    for part in range(8):
        torn.write_bytes(data[: len(data) * part // 8])
        with pytest.raises(InputError, match=r"torn\.h5 as HDF5"):
            read_hdf5(torn)
    for other in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(InputError, match="check the path"):
            read_hdf5(other)


def test_a_signal_that_is_damaged(tmp_path: Path) -> None:
    """It is an InputError that names it; the others open."""
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name in ("ax", "ay"):
            file.create_dataset(f"imu/{name}", data=np.arange(100.0), chunks=(100,), compression="gzip")
        at, size = (info := file["imu/ax"].id.get_chunk_info(0)).byte_offset, info.size
    data = path.read_bytes()
    path.write_bytes(data[:at] + bytes(size) + data[at + size :])
    with read_hdf5(path) as read:
        assert read.ay[3] == 3.0
        with pytest.raises(InputError, match=r"x\.h5: imu/ax does not open"):
            _ = read.imu.ax
