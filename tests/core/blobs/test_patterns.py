"""Our reading of the engine's globs is the engine's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from fleetbox.blobs.patterns import engine_globs, matches_any
from fleetbox.records import Draft

ENTRIES = ["a", "a/b", "a/b/c", "ab", "cam/front", "cam/front/preview", "cam/left", "camx", "x/cam/front"]
GLOBS = [
    ("**",), ("*",), ("a/**",), ("a*",), ("cam*",), ("cam/*",), ("**/preview",), ("*/front",), ("/a",), ("a/**/c",),
    ("cam/f*t",), ("**/front",), ("*", "!cam/*"), ("!a",), ("a", "cam/left"), ("**/cam/**",), ("nothing",),
]  # fmt: skip


def test_globs_choose_what_the_engine_chooses(
    opened: Callable, bucket_name: str, make_draft: Callable[..., Draft]
) -> None:
    """For each glob the real store returns exactly the entries we say match."""

    async def act() -> None:
        async with opened() as store:
            await store.write(bucket_name, [make_draft(entry, 1) for entry in ENTRIES])
            for globs in GLOBS:
                chosen = {head.entry async for head in store.query(bucket_name, globs, head=True)}
                assert chosen == {entry for entry in ENTRIES if matches_any(engine_globs(globs), entry)}, globs

    asyncio.run(act())
