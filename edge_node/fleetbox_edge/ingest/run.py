"""Run `fleetbox ingest`: choose the place, ingest file after file, say what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fleetbox.blobs import Store
from fleetbox.errors import NotFound
from fleetbox.labels import check_user_labels
from fleetbox.naming import check_robot
from fleetbox.quotas import bucket_spec
from fleetbox.settings import FleetSettings, Place
from fleetbox_edge.ingest.file import ingest_file
from fleetbox_edge.ingest.mcap import check_is_mcap
from fleetbox_edge.ingest.report import IngestReport

KEPT_BYTES = 1_000_000_000  # where settings state none: a few bags; a kept bucket always has a stated size
EXIT_OK, EXIT_PARTIAL = 0, 3

Clock = Literal["log", "header"]


@dataclass(frozen=True, slots=True)
class Order:
    """Hold what one call of `fleetbox ingest` asks for."""

    files: tuple[Path, ...]
    robot: str
    clock: Clock
    labels: dict[str, str]


def run(
    files: Sequence[Path | str],
    fleet: FleetSettings,
    robot: str,
    site: str | None = None,
    clock: Clock = "log",
    labels: Mapping[str, object] | None = None,
    as_json: bool = False,
) -> int:
    """Ingest MCAP files into a robot's `kept` bucket and print the report; return the exit code.

    The records go into the robot's own store, or into `<robot>--kept` at `site`; a robot that
    the fleet does not know, or whose store cannot be reached from here, is kept at its nearest
    site. labels are put on every record. Returns 0, or 3 when a file is damaged, the bucket is
    full, or anything could not be kept.

    Raises InputError before anything is written when one of the files is no MCAP.
    """
    from fleetbox.cli import output

    order = Order(tuple(map(Path, files)), check_robot(robot), clock, check_user_labels(labels or {}))
    for path in order.files:
        check_is_mcap(path)
    place = choose_place(fleet, robot, site)
    reports = asyncio.run(_ingest_all(place, order))
    if as_json:
        output.emit(_answer(place, reports))
    else:
        for report in reports:
            _print(place, report)
    for report in reports:
        for line in explain(place, report):
            output.note(line)
    return EXIT_OK if all(report.complete for report in reports) else EXIT_PARTIAL


def choose_place(fleet: FleetSettings, robot: str, site: str | None) -> Place:
    """Return the site asked for, else the robot's own store, else its nearest site, else the fleet's first site."""
    if site is not None:
        return fleet.site_place(site)
    try:
        return fleet.route(robot)[0]
    except NotFound:
        sites = [*fleet.places("edge"), *fleet.places("cloud")]
        if not sites:
            raise
        return sites[0]


async def _ingest_all(place: Place, order: Order) -> list[IngestReport]:
    async with Store.at(place) as store:
        bucket = place.bucket(order.robot, "kept")
        if await store.bucket_spec(bucket) is None:
            # One that is there keeps its settings: its size is the agent's or the site's to state.
            await store.ensure_bucket(bucket, bucket_spec("kept", place.quota.get("kept") or KEPT_BYTES))
        return [await _ingest_one(store, bucket, path, order) for path in order.files]


async def _ingest_one(store: Store, bucket: str, path: Path, order: Order) -> IngestReport:
    from fleetbox.cli import output

    with output.progress(f"ingest {path.name}", total=check_is_mcap(path)) as advance:
        return await ingest_file(
            path,
            store,
            bucket,
            order.robot,
            clock=order.clock,
            labels=order.labels,
            on_progress=lambda done: advance(done),
        )


def _answer(place: Place, reports: Sequence[IngestReport]) -> dict[str, Any]:
    names = ("messages", "records", "rows", "bytes", "written", "already", "failed_count")
    totals = {name: sum(getattr(report, name) for report in reports) for name in names}
    where = {"place": place.name, "tier": place.tier, "complete": all(report.complete for report in reports)}
    return {**where, **totals, "files": [report.as_dict() for report in reports]}


def _print(place: Place, report: IngestReport) -> None:
    from fleetbox.cli import output

    shown = [
        {
            "stream": name,
            "type": count.type,
            "messages": count.messages,
            "records": count.records,
            "rows": count.rows,
            "size": output.size_text(count.bytes),
            "schema": count.schema or "-",
        }
        for name, count in sorted(report.streams.items())
    ]
    columns = ("stream", "type", "messages", "records", "rows", "size", "schema")
    output.table(shown, columns, right=("messages", "records", "rows", "size"))
    output.say(
        f"{report.file} -> {report.robot} at {place.name}, bucket {report.bucket}: "
        f"{report.messages:,} messages in {report.records:,} records, {output.size_text(report.bytes)}; "
        f"{report.written:,} written, {report.already:,} already there"
    )


def explain(place: Place, report: IngestReport) -> list[str]:
    """Return what a person must know beyond the counts, each with what to do about it."""
    lines = [f"{report.file}: not kept: {why}" for why in report.failed]
    if report.failed_count > len(report.failed):
        lines.append(f"{report.file}: and {report.failed_count - len(report.failed):,} more were not kept")
    if report.stopped:
        lines.append(
            f"{report.file}: stopped, {report.stopped}\n"
            f"  next: raise `kept` in the quota of {place.name}, or remove recordings from bucket {report.bucket}; "
            "then run the same command again: what is there is not written twice"
        )
    if damage := report.damage:
        lost = "how many are lost the file does not tell"
        if damage.lost_messages is not None:
            about = "about " if damage.lost_is_estimate else ""
            lost = f"{about}{damage.lost_messages:,} lost"
        lines.append(
            f"{report.file}: damaged at byte {damage.at_byte:,}: {damage.why}; "
            f"{report.messages:,} messages ingested, {lost}, {damage.unread_bytes:,} bytes unread\n"
            "  next: fetch an undamaged copy and ingest it: what is there is not written twice"
        )
    if report.suspect:
        lines.append(
            f"{report.file}: {report.suspect:,} messages come from a damaged part and carry `suspect=checksum`"
        )
    if report.undecoded:
        lines.append(f"{report.file}: {report.undecoded:,} messages do not fit their schema and are kept as raw bytes")
    if report.completed:
        lines.append(f"{report.file}: {report.completed:,} records of an earlier, shorter copy were completed")
    if report.overlapping:
        lines.append(
            f"{report.file}: {report.overlapping:,} records overlap with another recording's and stand beside them"
        )
    if report.headerless:
        lines.append(f"{report.file}: {report.headerless:,} messages have no header stamp and keep their log time")
    return lines
