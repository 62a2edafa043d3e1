"""Ask what was chosen of streams with one verb."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fleetbox.settings import Tier
from fleetbox_query.aligning import Aligned, make_grid
from fleetbox_query.bars import bar
from fleetbox_query.batches import Batches
from fleetbox_query.decimating import Decimation, bins_for, check, decimated
from fleetbox_query.extents import extents
from fleetbox_query.frames import ClockName, Tables, frame_of, tables_of
from fleetbox_query.grids import Method
from fleetbox_query.images import Color, Images
from fleetbox_query.moments import DurationLike, TimeLike, duration_us
from fleetbox_query.nearest import Nearest, nearest
from fleetbox_query.nothing import warn_of_nothing
from fleetbox_query.opaque import reading_of_rows, reading_of_values
from fleetbox_query.provenance import Provenance
from fleetbox_query.pulling import Ordered, PullWish, pull
from fleetbox_query.reading import Reading
from fleetbox_query.rolling import frame_of as rollup_frame
from fleetbox_query.rolling import roll_up, step_of
from fleetbox_query.sizing import announce
from fleetbox_query.sql import into_duckdb, polars_of
from fleetbox_query.stamps import times_ns
from fleetbox_query.streaming import Records
from fleetbox_query.survey import Survey
from fleetbox_query.units import column_units, warn_of_units
from fleetbox_query.widening import Rounding, warn_of_rounding

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import polars as pl

    from fleetbox.settings.lerobot import LerobotMap
    from fleetbox_query.exports.job import Exported
    from fleetbox_query.grids import Times
    from fleetbox_query.lerobot.exported import Exported as LerobotExported
    from fleetbox_query.lerobot.samples import Samples


@dataclass(frozen=True, repr=False)
class Selection(Survey):
    """Hold a question about streams; every step returns a new one, nothing is read before a verb.

    Verbs: size(), count() and coverage() move nothing; frames() pandas, arrow() tables, polars(), duckdb(), align(...),
    decimate(n), rollup(step); records(), batches() and images() iterate in bounded memory; at(time) the nearest record;
    explain().

    Example:
        fleet.select("r*/imu:ax").where(site="edge-1").last("1h").frames()
    """

    def frames(
        self,
        *,
        align: str | None = None,
        max_age: str | None = None,
        clock: ClockName = "record",
        clocks: bool = False,
    ) -> pd.DataFrame:
        """Return a pandas frame over time (UTC): "robot/stream:field" columns, plain field names for one stream.

        Streams are outer-joined on time. align, max_age: the same as align(rate, max_age=...).frames(). clock: which
        clock is the index; clocks: keep the exact ns clocks as columns. Blobs stand in a column `value`, undecoded.
        `frame.attrs["places_read"]` counts records by place, `frame.attrs["missing"]` names what could not be read; a
        PartialAnswer warns of it. `frame.attrs["units"]` holds units by column; MixedUnits warns of mixed ones.

        Example:
            frame = fleet.select("r1/imu", "r1/joints").last("1h").frames()
            print(frame.columns, frame.attrs["places_read"])
        """
        if align is not None:
            return self.align(align, max_age=max_age, clock=clock).frames()
        tables = self.arrow()
        frame = frame_of(tables, clock, clocks)
        frame.attrs["units"] = column_units(tables.sources, list(frame.columns))
        return _described(frame, tables.provenance)

    def arrow(self, *, warn: bool = True) -> Tables:
        """Return one pyarrow.Table per stream, by "robot/stream", with exact clocks as columns.

        Example:
            fleet.select("r1/imu").last("1h").arrow()["r1/imu"].column("ax")
        """
        reading = self._reading()
        if warn:
            announce(reading.prepared)
        tables = self.session.run(self._tables(reading))
        if warn:
            tables.provenance.warn()
            warn_of_units(tables.sources)
            warn_of_rounding(tables.rounding)
            if not tables and tables.provenance.complete:
                warn_of_nothing(self.session, self.question)
        return tables

    def records(self, *, warn: bool = True) -> Records:
        """Return an iterator over rows and blobs in order of time; memory stays bounded.

        Pictures that became video are read from it, with a label `made_from`.
        A blob is decoded by its item's `value`, which alone raises when the bytes do not decode: iteration goes on.

        Example:
            for item in fleet.select("r1/**").last("1h").records():
                print(item.stream, item.time_us, item.value)
        """
        reading = self._reading()
        if warn:
            announce(reading.prepared)
        return Records(self.session.loop, reading, warn=warn)

    def batches(self, *, warn: bool = True) -> Batches:
        """Return an iterator over Arrow tables, each some rows of one stream; memory stays bounded, as of records().

        Blobs have a column `value`. Videos made of pictures stay as they are: InputError where only such were chosen.

        Example:
            for batch in fleet.select("r1/imu").batches():
                print(batch.name, batch.table.num_rows)
        """
        return Batches(self.session.loop, reading_of_rows(self.session, self.question, "batches()"), warn=warn)

    def images(self, *, color: Color = "rgb", warn: bool = True) -> Images:
        """Return an iterator over pictures as arrays (HxW or HxWx3), those that became video too; bounded memory.

        color: "rgb", or "bgr" as OpenCV has it. One that does not decode is passed over and named.

        Example:
            for image in fleet.select("r1/cam/front").last("10s").images():
                print(image.time_us, image.array.shape)
        """
        return Images(self.records(warn=False), color, warn=warn)

    def align(
        self,
        rate: str | None = None,
        *,
        to: str | None = None,
        method: Method = "previous",
        max_age: DurationLike | None = None,
        clock: ClockName = "record",
    ) -> Aligned:
        """Put all streams at the same times: a rate ("30 Hz") or period ("100ms"), or those of one stream.

        to: a stream, chosen here or not ("r1/cam/front"; around events: "cam/front"). method: "previous" (nothing from
        the future), "nearest", "next", or "linear" (numbers between two values; the rest as "previous"). max_age: how
        far from its time a value may lie; without, any within the same window. clock: whose times count; "log",
        "publish" and "header" are the source's own.

        Example:
            fleet.select("r1/imu", "r1/joints").last("1h").align("30 Hz", max_age="100ms").frames()
        """
        age_us = None if max_age is None else duration_us(max_age)
        return Aligned(self, make_grid(rate, to, method, age_us, clock))

    def decimate(self, n: int = 1_000, method: Decimation = "minmax") -> pd.DataFrame:
        """Return a pandas frame of at most n points a field, for plots; memory stays bounded.

        "minmax": lowest and highest of each stretch of time at their own times; "lttb": those a plot is most alike
        with; "average", "rms": of each stretch, at its middle. Of truth values whether any was true, of other values
        the last. NaN counts as missing; stretches lie within the selection's windows. Streams of bytes, as pictures
        are, have no points; InputError where only such were chosen.

        Example:
            fleet.select("r1/imu:ax").last("1d").decimate(2000).plot()
        """
        check(n, method)
        reading = reading_of_values(self.session, self.question, "decimate()")
        bins = bins_for(self.session.run(extents(self.session.stores, reading.prepared)), n, method)
        batches = Batches(self.session.loop, reading, warn=False)
        try:
            frame = decimated(batches, bins, n, method)
        finally:
            batches.close()
        batches.provenance.warn()
        return _described(frame, batches.provenance)

    def rollup(self, step: DurationLike = "1s", tier: Tier | None = None) -> pd.DataFrame:
        """Return each field's min, mean, max, last and count per step of time: columns `ax.min` to `ax.count`.

        Steps start on whole multiples since 1970 and hold the selection's rows alone; the index is their start (UTC);
        NaN counts as missing. The numbers come from the InfluxDB of the nearest site that holds the stream (as far as
        its loader got, some seconds behind), without one, with conditions or for steps that are no whole seconds from
        the chunks, in bounded memory: `frame.attrs["sources"]` says which. tier: as of tier().

        Example:
            fleet.select("r1/imu:ax").last("1d").rollup("1m")["ax.mean"].plot()
        """
        chosen = self if tier is None else self.tier(tier)
        gathered, provenance = roll_up(self.session, chosen.question, step_of(step))
        provenance.warn()
        return _described(rollup_frame(gathered), provenance)

    def polars(self, *, warn: bool = True) -> pl.DataFrame:
        """Return a polars frame: `time` (UTC), then fields named as in frames(), streams full-joined on time.

        Example:
            fleet.select("r1/imu").last("1h").polars()
        """
        return polars_of(self.arrow(warn=warn))

    def duckdb(self, path: Path | str | None = None) -> duckdb.DuckDBPyConnection:
        """Return a DuckDB database with a table per stream: `robot`, `time` (UTC), exact ns clocks, fields.

        A stream "cam/front" is "cam/front" and, as a view, cam_front. path: a new file to keep it in, written whole or
        not at all; without, it lives in memory and spills to disk. Loading takes bounded memory.

        Example:
            db = fleet.select("r1/imu", "r1/joints").last("1h").duckdb()
            db.sql("SELECT * FROM imu ASOF JOIN joints USING (robot, time)").df()
        """
        batches = Batches(self.session.loop, reading_of_rows(self.session, self.question, "duckdb()"))
        warn_of_units(batches.sources)  # a table takes a stream's rows of all robots
        try:
            return into_duckdb(batches, None if path is None else Path(path))
        finally:
            batches.close()

    def pull(
        self,
        *,
        max: str | int = "500MB",
        preview: bool = False,
        rate: str | None = None,
        note: str = "",
        ask: bool = True,
    ) -> list[Ordered]:
        """Ask the robots for what they recorded of these streams in that time, and return a row per robot and window.

        Their records are labelled and shipped like an event's; what travelled already is not sent again. For a robot
        that is away the order waits at its site. preview: thumbnails of pictures only. rate: what the link does ("5
        Mbit/s"). ask=False: only say how much it would be. Raises InputError when it is more than `max`, for
        conditions, and without a beginning.

        Example:
            fleet.select("r7/cam/front").between("13:20", "13:30").pull(max="2GB")
        """
        return pull(self.session, self.question, PullWish(max, preview, rate, note, ask))

    def times(self, clock: ClockName = "record") -> Times:
        """Return the times of all rows and blobs in order, as an array of int64 ns; blobs are listed, not read.

        Example:
            fleet.select("r1/cam/front").times("header")
        """
        return times_ns(self, clock)

    def at(self, time: TimeLike) -> Nearest:
        """Return the row or blob nearest to a time; raises NotFound when there is none.

        Example:
            found = fleet.select("r1/cam/front").at("now-10s")
            print(found.off_us, found.place, found.item.value.shape)
        """
        return self.session.run(self._at(time))

    def export(
        self, format: str, out: Path | str, *, advance: Callable[[float, str], None] | None = None, **options: object
    ) -> Exported:
        """Write everything into files, whole or not at all, and return what was written and what was left out.

        format: "mcap", "parquet", "csv", "hdf5", "safetensors", "mp4", "png" or "jpeg". out: a file or, for parquet,
        csv, mp4 and pictures, a folder. options: compression="lz4" | "zstd" | "none" (mcap), fps (mp4), burn_time
        (mp4, png, jpeg). advance: told the part done (0 to 1) and how much that is. Interrupted, the same call goes
        on where it stopped; that needs fixed times, `between` and not `last`.

        Example:
            fleet.select("r1/**").last("10m").export("mcap", "pallet.mcap")
        """
        from fleetbox_query.exports.exporting import export
        from fleetbox_query.exports.job import made_options

        with bar(f"export {format}", advance) as told:
            exported = export(self, format, out, made_options(options), advance=told)
        exported.warn()
        if not exported.tally.total and exported.complete:
            warn_of_nothing(self.session, self.question)
        return exported

    def lerobot(
        self,
        out: Path | str,
        map: LerobotMap | Path | str | None = None,
        *,
        advance: Callable[[float, str], None] | None = None,
    ) -> LerobotExported:
        """Write a LeRobot v3.0 dataset into a folder: each event chosen, or each robot's stretch of time, an episode.

        map: a lerobot.toml, which says what streams are state, action and pictures [./lerobot.toml]; of the selection
        robots, times, labels and places count. Interrupted, the same call goes on with the episode it was at; that
        needs fixed times. What came says what was left out (`skipped`, `lacks`) and how frames came about (`report`).

        Example:
            fleet.events("grasp").last("30d").select().lerobot("picks", map="lerobot.toml")
        """
        from fleetbox_query.lerobot.exporting import export_lerobot, map_of

        with bar("export lerobot", advance) as told:
            return export_lerobot(self.session, self.question, map_of(map), Path(out), advance=told)

    def torch(self, map: LerobotMap | Path | str | None = None, *, memory: str | int = "1 GB") -> Samples:
        """Return the frames that a lerobot.toml means as a dataset by number, which torch's DataLoader takes.

        Nothing is exported and torch is not needed: a sample is a dict of numpy arrays (pictures HxWx3, RGB). map: as
        lerobot() has it. memory: how much of decoded pictures each process holds; `load()` fills it at once. It
        pickles: worker processes connect for themselves. Raises NotFound when not one interval makes an episode.

        Example:
            samples = fleet.events("grasp").last("30d").select().torch("lerobot.toml")
            loader = torch.utils.data.DataLoader(samples, batch_size=64, shuffle=True, num_workers=4)
        """
        from fleetbox_query.lerobot.exporting import map_of
        from fleetbox_query.lerobot.samples import Samples

        return Samples(self.session, self.question, map_of(map), memory)

    async def _tables(self, reading: Reading) -> Tables:
        unreadable: list[str] = []
        rounding: Rounding = {}
        tables = tables_of(await reading.all(), reading.prepared.expression, unreadable, rounding)
        provenance = replace(reading.provenance, unreadable=tuple(unreadable))
        return Tables(tables, provenance, reading.prepared.sources, rounding)

    async def _at(self, time: TimeLike) -> Nearest:
        where = self.session.where(self.question)
        time_us = await self.session.resolve(self.session.moment(time), where)
        prepared = await self.session.prepare(self.question, films=True)
        return await nearest(self.session.stores, prepared, time_us)


def _described(frame: pd.DataFrame, provenance: Provenance) -> pd.DataFrame:
    # Plain values only: pandas copies attrs deeply at every step.
    frame.attrs |= {"places_read": dict(provenance.places_read), "missing": provenance.lines()}
    return frame
