"""Show tables of rows: numbers as curves, texts and truth values as states, and what rows say of space and earth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fleetbox import chunks
from fleetbox_query.viewing.clouds import Points, points_of_row, points_of_scan
from fleetbox_query.viewing.column_shapes import CLOUD, SCAN, Pose, place_in, pose_in
from fleetbox_query.viewing.layout import Shown
from fleetbox_query.viewing.stage import Stage, path_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MOST_CURVES = 32  # of one list, such as joints; a longer one is a profile, shown as bars at each time
MOST_BARS = 4_096
MOST_CHARS = 20_000  # of a row as text
TRACK = 2_000  # places of a route kept for each stretch read: finer than a map on a screen shows
TRACK_COLOUR, HERE_COLOUR = (255, 160, 0), (230, 30, 60)
AXIS_M = 0.3
HERE_PX, TRACK_PX = 8.0, 2.0


@dataclass
class Rows:
    """Log tables; `left_out` names fields that Rerun shows no way of."""

    stage: Stage
    left_out: dict[str, int] = field(default_factory=dict)
    _states: dict[str, str | None] = field(default_factory=dict)  # a lane -> its last state
    _counts: dict[tuple[str, str], int] = field(default_factory=dict)  # rows of a robot's stream
    _places_of: set[str] = field(default_factory=set)  # latitudes and longitudes: on the map, and no use as curves
    _tracks: int = 0

    def table(self, robot: str, stream: str, table: pa.Table, fields: Mapping[str, Mapping[str, Any]]) -> None:
        """Log a table; `fields` is what the stream says of its fields, such as units."""
        import pyarrow as pa

        times = table[chunks.TIME].cast(pa.int64()).to_numpy()
        names = [name for name in table.column_names if name not in chunks.RESERVED_COLUMNS]
        columns = {name: table[name].combine_chunks() for name in names}
        taken = self._in_space(robot, stream, times, columns)
        self._once(robot, stream, table, int(times[0]))
        for name, column in columns.items():
            if name in taken:
                continue
            there = column.is_valid().to_numpy(zero_copy_only=False)
            if not there.any():
                continue
            one = Shown("curve", robot, stream, path_of(robot, *stream.split("/"), *name.split(".")), name)
            unit = str(fields.get(name, {}).get("unit") or "")
            if not self._column(one, unit, times[there], column.drop_null()):
                text = f"{robot}/{stream}: Rerun shows no field {name} ({column.type})"
                self.left_out[text] = self.left_out.get(text, 0) + int(there.sum())

    def is_seen(self, one: Shown) -> bool:
        """Tell whether there is anything to see of it: a curve of one row is none, its text is of no use beside one."""
        single = self._counts.get((one.robot, one.stream))
        if single is None or one.kind not in ("curve", "text"):
            return True
        return (one.kind == "text") == (single == 1) and one.path not in self._places_of

    def _once(self, robot: str, stream: str, table: pa.Table, time_us: int) -> None:
        """Log a stream's first row as text: parameters are told once, and a curve of one value is nothing to see."""
        import rerun as rr

        before = self._counts.get((robot, stream), 0)
        self._counts[robot, stream] = before + table.num_rows
        if before == 0 and table.num_rows == 1:
            path = path_of(robot, *stream.split("/"))
            row = {name: table[name][0].as_py() for name in table.column_names if name not in chunks.RESERVED_COLUMNS}
            self.stage.show(Shown("text", robot, stream, path))
            lines = "\n".join(f"{name} = {value}" for name, value in row.items())
            self.stage.log(path, time_us, rr.TextDocument(lines[:MOST_CHARS]))

    def _column(self, one: Shown, unit: str, times: np.ndarray[Any, Any], column: pa.Array) -> bool:
        import pyarrow as pa

        kind = column.type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_boolean(kind):
            self._state(one, times, column)
        elif _is_number(kind):
            self._curve(one, unit, times, column.cast(pa.float64(), safe=False).to_numpy(), None)
        elif pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind) or pa.types.is_large_list(kind):
            return self._lists(one, unit, times, column)
        else:
            return False
        return True

    def _state(self, one: Shown, times: np.ndarray[Any, Any], column: pa.Array) -> None:
        """Log where a text changes: a lane of states."""
        import rerun as rr

        values = [str(value).lower() if isinstance(value, bool) else value for value in column.to_pylist()]
        before = [self._states.get(one.path), *values]
        changed = [at for at, value in enumerate(values) if value != before[at]]
        self._states[one.path] = values[-1]
        self.stage.show(_as("state", one))
        if changed:
            states = rr.StateChange.columns(state=[values[at] for at in changed])
            self.stage.send(one.path, times[changed], states)

    def _curve(self, one: Shown, unit: str, times: Any, values: Any, lengths: list[int] | None) -> None:
        import rerun as rr

        columns = rr.Scalars.columns(scalars=values)
        name = one.field
        if self.stage.show(Shown("curve", one.robot, one.stream, one.path, name, unit)):
            names = [name] if lengths is None else [f"{name}[{at}]" for at in range(max(lengths))]
            self.stage.always(one.path, rr.SeriesLines(names=names))
        self.stage.send(one.path, times, columns if lengths is None else columns.partition(lengths))

    def _lists(self, one: Shown, unit: str, times: np.ndarray[Any, Any], column: pa.Array) -> bool:
        import pyarrow as pa
        import rerun as rr

        flat = column.flatten()
        if not (_is_number(flat.type) or pa.types.is_boolean(flat.type)) or flat.null_count:
            return False
        lengths = [len(value) for value in column.to_pylist()]
        longest = max(lengths)
        if longest > MOST_BARS:
            return False
        values = flat.cast(pa.float64(), safe=False).to_numpy()
        if longest <= MOST_CURVES:
            if longest:
                self._curve(one, unit, times, values, lengths)
            return True
        self.stage.show(_as("chart", one))
        at = 0
        for time_us, length in zip(times.tolist(), lengths, strict=True):
            self.stage.log(one.path, time_us, rr.BarChart(values[at : at + length]))
            at += length
        return True

    # -- in space and on earth ---------------------------------------------------------------------------------------

    def _in_space(self, robot: str, stream: str, times: np.ndarray[Any, Any], columns: Mapping[str, Any]) -> set[str]:
        """Show clouds, scans, poses and places; return the columns that are of no use as curves then."""
        path = path_of(robot, *stream.split("/"))
        if set(CLOUD) <= set(columns) or set(SCAN) <= set(columns):
            self.stage.show(Shown("space", robot, stream, path))
            return self._points(path, times, columns)
        numbers = [name for name, column in columns.items() if _is_number(column.type)]
        if (place := place_in(numbers)) is not None:
            self.stage.show(Shown("place", robot, stream, path))
            self._places_of |= {path_of(robot, *stream.split("/"), *name.split(".")) for name in place}
            self._places(path, *_whole(times, columns, place))
        if (pose := pose_in(numbers)) is not None:
            self.stage.show(Shown("space", robot, stream, path))
            self._poses(path, pose, *_whole(times, columns, (*pose.position, *pose.rotation)))
        return set()

    def _points(self, path: str, times: np.ndarray[Any, Any], columns: Mapping[str, Any]) -> set[str]:
        cloud = set(CLOUD) <= set(columns)
        names = CLOUD if cloud else SCAN
        rows = zip(*(columns[name].to_pylist() for name in names), strict=True)
        for time_us, values in zip(times.tolist(), rows, strict=True):
            if None not in values:
                found = points_of_row(dict(zip(names, values, strict=True))) if cloud else points_of_scan(*values)
                if found is not None:
                    log_points(self.stage, path, time_us, found)
        return {name for name in columns if name == "data" or name.startswith("fields.")} if cloud else {SCAN[0]}

    def _places(self, path: str, times: np.ndarray[Any, Any], places: np.ndarray[Any, Any]) -> None:
        """Log where it is, and the route: Rerun's map shows the latest place alone."""
        import numpy as np
        import rerun as rr

        good = np.isfinite(places).all(1) & (np.abs(places) <= (90, 180)).all(1) & places.any(1)  # 0, 0 is no fix
        times, places = times[good], places[good]
        if not len(times):
            return
        here = rr.GeoPoints.columns(
            positions=places,
            radii=np.full(len(times), -HERE_PX, "f4"),  # below zero: in pixels, at any zoom
            colors=np.full(len(times), _packed(HERE_COLOUR), "u4"),
        )
        self.stage.send(path, times, here)
        route = places[np.linspace(0, len(places) - 1, min(TRACK, len(places))).astype(int)]
        lines = rr.GeoLineStrings(lat_lon=[route.tolist()], radii=[-TRACK_PX], colors=[TRACK_COLOUR])
        self.stage.always(self._track(path), lines)

    def _poses(self, path: str, pose: Pose, times: np.ndarray[Any, Any], values: np.ndarray[Any, Any]) -> None:
        """Log the route as a line, and axes that move along it."""
        import numpy as np
        import rerun as rr

        good = np.isfinite(values).all(1)
        times, values = times[good], values[good]
        if not len(times):
            return
        axes = f"{path}/axes"
        turned = values[:, 3:].astype("f4") if pose.rotation else None
        self.stage.send(axes, times, rr.Transform3D.columns(translation=values[:, :3].astype("f4"), quaternion=turned))
        self.stage.always(axes, rr.TransformAxes3D(AXIS_M))
        route = values[np.linspace(0, len(values) - 1, min(TRACK, len(values))).astype(int), :3]
        lines = rr.LineStrips3D([route.astype("f4")], colors=[TRACK_COLOUR], radii=[-TRACK_PX])
        self.stage.always(self._track(path), lines)

    def _track(self, path: str) -> str:
        self._tracks += 1
        return f"{path}/track/t{self._tracks}"


def log_points(stage: Stage, path: str, time_us: int, points: Points) -> None:
    """Log a cloud at its time."""
    import rerun as rr

    stage.log(path, time_us, rr.Points3D(points.positions, colors=points.colours, radii=[-1.5]))  # pixels


def _whole(
    times: np.ndarray[Any, Any], columns: Mapping[str, Any], names: tuple[str, ...]
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return times and the columns' values beside each other, NaN where there is none."""
    import numpy as np

    return times, np.stack([columns[name].to_numpy(zero_copy_only=False).astype(float) for name in names], 1)


def _as(kind: Any, one: Shown) -> Shown:
    return Shown(kind, one.robot, one.stream, one.path, one.field)


def _packed(colour: tuple[int, int, int]) -> int:
    return colour[0] << 24 | colour[1] << 16 | colour[2] << 8 | 255


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))
