"""Faults of the edge's store: full, gone, closed to the robot."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from fleetbox.blobs import BucketSpec, Store
from fleetbox.naming import site_bucket
from fleetbox_cloud.provision import wanted
from fleetbox_cloud.tokens import replace_token, save_token
from fleetbox_local.drill.disks import fill, free
from fleetbox_local.drill.scene import Scene
from fleetbox_local.drill.setting import ROBOT
from fleetbox_local.fleet_files import at_site

FULL = ("media", "log")  # scalars go on: one full bucket must not hold up the others
QUOTA_BYTES = 1_000  # less than they hold


@contextmanager
def quota(scene: Scene) -> Iterator[None]:
    """Set a HARD quota, below what they hold, on two of the robot's buckets at the edge; then put the old one back."""
    place = scene.place("edge")
    names = [*(place.bucket(ROBOT, cls) for cls in FULL), *scene.beside]

    async def begin() -> dict[str, BucketSpec]:
        async with scene.store("edge") as store:
            before = await _specs(store, names)
            for name, spec in before.items():
                await store.ensure_bucket(name, replace(spec, quota_type="HARD", quota_bytes=QUOTA_BYTES))
            return before

    before = scene.run(begin())
    try:
        yield
    finally:
        scene.run(_restore(scene, before))


@contextmanager
def disk_full(scene: Scene) -> Iterator[None]:
    """Fill the file system that the edge's store lies on; then free it."""
    fill(scene.edge.data_dir)
    try:
        yield
    finally:
        free(scene.edge.data_dir)


@contextmanager
def token_revoked(scene: Scene) -> Iterator[None]:
    """Take the robot's token at the edge away; then make a new one and put it where the robot reads it."""
    spec = wanted(scene.fleet, "edge").tokens[ROBOT]

    async def revoke() -> None:
        async with scene.store("edge") as store:
            await store.remove_token(ROBOT)

    async def renew() -> str:
        async with scene.store("edge") as store:
            return await replace_token(store, spec)

    scene.run(revoke())
    try:
        yield
    finally:
        save_token(scene.secrets, at_site(ROBOT, "edge"), scene.run(renew()))


@contextmanager
def bucket_deleted(scene: Scene) -> Iterator[None]:
    """Delete one of the robot's buckets at the edge, everything in it included; then make it again, empty."""
    names = [site_bucket(ROBOT, "media"), *scene.beside]

    async def delete() -> dict[str, BucketSpec]:
        async with scene.store("edge") as store:
            before = await _specs(store, names)
            for name in names:
                await store.remove_bucket(name)
            return before

    before = scene.run(delete())
    try:
        yield
    finally:
        scene.run(_restore(scene, before))


async def _specs(store: Store, names: Iterable[str]) -> dict[str, BucketSpec]:
    specs = {name: await store.bucket_spec(name) for name in names}
    return {name: spec for name, spec in specs.items() if spec is not None}


async def _restore(scene: Scene, before: dict[str, BucketSpec]) -> None:
    async with scene.store("edge") as store:
        for name, spec in before.items():
            await store.ensure_bucket(name, spec)
