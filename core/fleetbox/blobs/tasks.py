"""Replication tasks of a store."""

from __future__ import annotations

from reduct.msg.replication import ReplicationCompression, ReplicationMode, ReplicationSettings

from fleetbox.blobs.patterns import engine_globs
from fleetbox.blobs.values import TaskInfo, TaskMode, TaskSpec
from fleetbox.blobs.wire import Wire
from fleetbox.errors import NotFound


async def every(wire: Wire) -> list[TaskInfo]:
    """Return all tasks, sorted by name; one request each, because the list tells no settings."""
    with wire.translating("list tasks"):
        infos = await wire.admin.get_replications()
    found = [await one(wire, name) for name in sorted(info.name for info in infos)]
    return [task for task in found if task is not None]


async def one(wire: Wire, name: str) -> TaskInfo | None:
    """Return a task, or None if there is none. Its token is empty: the engine masks it."""
    try:
        with wire.translating(f"look at task {name}"):
            detail = await wire.admin.get_replication_detail(name)
    except NotFound:
        return None
    settings, hourly = detail.settings, detail.diagnostics.hourly
    return TaskInfo(
        spec=TaskSpec(
            name=name,
            src_bucket=settings.src_bucket,
            dst_bucket=settings.dst_bucket,
            dst_url=settings.dst_host,
            dst_token="",
            entries=tuple(settings.entries),
            when=settings.when,
            compression=settings.compression.value,
        ),
        active=detail.info.is_active,
        pending=detail.info.pending_records,
        provisioned=detail.info.is_provisioned,
        mode=detail.info.mode.value,
        ok=hourly.ok,
        errored=hourly.errored,
        errors={code: (error.count, error.last_message) for code, error in hourly.errors.items()},
    )


async def put(wire: Wire, spec: TaskSpec) -> None:
    """Create a task or change it; a paused task stays paused, and an empty token keeps the one it has."""
    actual = await one(wire, spec.name)
    settings = ReplicationSettings(
        src_bucket=spec.src_bucket,
        dst_bucket=spec.dst_bucket,
        dst_host=spec.dst_url,
        dst_token=spec.dst_token or None,
        entries=list(engine_globs(spec.entries)),
        when=spec.when,
        mode=ReplicationMode(actual.mode) if actual else ReplicationMode.ENABLED,
        compression=ReplicationCompression(spec.compression),
    )
    with wire.translating(f"set up task {spec.name}"):
        if actual is None:
            await wire.admin.create_replication(spec.name, settings)
        else:
            await wire.admin.update_replication(spec.name, settings)


async def set_mode(wire: Wire, name: str, mode: TaskMode) -> None:
    """Let a task send (enabled), wait with its log growing (paused), or note nothing new (disabled)."""
    with wire.translating(f"set task {name} to {mode}"):
        await wire.admin.set_replication_mode(name, ReplicationMode(mode))


async def remove(wire: Wire, name: str) -> None:
    """Remove a task and what waits in it."""
    with wire.translating(f"remove task {name}"):
        await wire.admin.delete_replication(name)
