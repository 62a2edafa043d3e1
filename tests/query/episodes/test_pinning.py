"""Pins keep what an episode shows from the rings, within `kept`'s quota, and give it back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from fleetbox.blobs import BucketSpec, EntryInfo, Store
from fleetbox.episodes import Episode
from fleetbox.errors import Incomplete, InputError, NotFound
from fleetbox.settings import Place
from fleetbox_query.episodes.horizon import Ring, standing
from fleetbox_query.fleet import Fleet
from fleetbox_query.inventory import Holding

from ..conftest import Tiers, blob, chunk

T0 = 1_760_000_000_000_000  # µs
SECOND = 1_000_000
PICTURE = bytes(range(256)) * 40


@pytest.fixture
def recorded(tiers: Tiers) -> Tiers:
    """A robot with 20 s of rows and pictures at 1 Hz, at the cloud; the pictures are 10 kB each."""
    rows = [chunk("imu", [T0 + at * SECOND], {"n": [at]}, robot=tiers.robot) for at in range(20)]
    shots = [blob("cam", T0 + at * SECOND, PICTURE + bytes([at]), robot=tiers.robot, keep="1") for at in range(20)]
    tiers.put("cloud", "sensor", rows)
    tiers.put("cloud", "media", shots)
    tiers.put("cloud", "meta", [chunk("made", [T0], {"n": [0]}, robot=tiers.robot)])
    return tiers


def test_a_pinned_episode_outlives_its_ring(fleet: Fleet, recorded: Tiers) -> None:
    """What the ring lost is read from `kept`; a second pin adds nothing; unpinning frees only the pin's own copies."""
    robot = recorded.robot
    fleet.new_episode(f"{robot}/a", robot, T0, T0 + 5 * SECOND)
    fleet.new_episode(f"{robot}/b", robot, T0 + 3 * SECOND, T0 + 8 * SECOND)
    a, b = fleet.episodes(f"{robot}/a"), fleet.episodes(f"{robot}/b")
    [told] = a.pin()
    assert (told.place, told.records, told.clashes) == ("cloud", 10, [])
    [again] = a.pin()
    assert (again.records, again.already) == (0, 10)
    assert b.pin()[0].records == 6
    pinned = a.list()[0].pinned
    assert (pinned["place"], pinned["records"]) == ("cloud", 10)
    forget(recorded, "sensor", "imu")
    assert list(a.select("imu").frames()["n"]) == [0, 1, 2, 3, 4]
    assert b.size().records >= 5
    assert a.standings()[a.list()[0].id].complete
    [freed] = a.unpin()
    assert freed.records == 6, "records 3 and 4 are b's too"
    assert not a.list()[0].pinned
    assert list(b.select("imu").frames()["n"]) == [3, 4, 5, 6, 7]
    with pytest.raises(InputError, match="is not pinned"):
        a.unpin()


def test_a_pin_beyond_the_quota_is_refused_whole(fleet: Fleet, recorded: Tiers) -> None:
    """Nothing is copied, and the error says how much is missing and what to unpin."""
    robot = recorded.robot
    limit(recorded, 120_000)
    for name, start in (("small", 0), ("large", 6)):
        length = 5 if name == "small" else 12
        fleet.new_episode(f"{robot}/{name}", robot, T0 + start * SECOND, T0 + (start + length) * SECOND)
    fleet.episodes(f"{robot}/small").pin()
    before = size_of_kept(recorded)
    with pytest.raises(Incomplete, match=rf"nothing was copied\n.*unpin some of: {robot}/small"):
        fleet.episodes(f"{robot}/large").pin()
    assert size_of_kept(recorded) == before


def test_what_is_nowhere_or_open_cannot_be_pinned(fleet: Fleet, recorded: Tiers) -> None:
    """An interval without records, and a robot's own store while a site has the records, are refused."""
    robot = recorded.robot
    fleet.new_episode(f"{robot}/none", robot, T0 - 50 * SECOND, T0 - 40 * SECOND)
    with pytest.raises(NotFound, match="holds nothing of"):
        fleet.episodes(f"{robot}/none").pin()
    assert fleet.episodes(f"{robot}/none").standings().popitem()[1].gone
    fleet.new_episode(f"{robot}/some", robot, T0, T0 + SECOND)
    with pytest.raises(InputError, match="pin at a site"):
        fleet.episodes(f"{robot}/some").pin(tier="robot")


def test_the_day_of_loss_is_foretold_from_the_ring() -> None:
    """A ring that holds 10 days at its rate loses one ten days after it began; a turned one names what is lost."""
    day = 86_400 * SECOND
    episode = Episode("e", "e", "r1", ((T0, T0 + SECOND),))
    place = Place("edge-1", "edge", "http://x", "")

    def seen(oldest_us: int, size: int) -> tuple[list[Holding], dict[tuple[str, str], Ring]]:
        newest = T0 + 2 * day
        one = Holding(place, "r1", "sensor", EntryInfo("imu", 9, 1, size, oldest_us, newest))
        return [one], {one.key[:2]: Ring(1_000_000, size, oldest_us, newest)}

    whole = standing(episode, *seen(T0 - 3 * day, 500_000))
    assert (whole.complete, whole.loses_us) == (True, T0 + 10 * day)
    young = standing(episode, *seen(T0 + day, 100_000))
    assert not young.lost, "a ring that has not turned lost nothing: the stream began later"
    assert standing(episode, *seen(T0 + day, 990_000)).gone
    longer = Episode("e", "e", "r1", ((T0, T0 + 2 * day),))
    assert dict(standing(longer, *seen(T0 + day, 990_000)).lost) == {"imu": T0 + day}
    kept = replace(longer, pinned={"place": "edge-1"})
    assert standing(kept, *seen(T0 - day, 990_000)).loses_us is None


def forget(tiers: Tiers, cls: str, stream: str) -> None:
    """Take a stream out of the cloud's ring, as if it had turned over."""

    async def work() -> None:
        async with tiers._store("cloud") as store:
            bucket = f"{tiers.robot}--{cls}"
            times = [head.time_us async for head in store.query(bucket, (stream,), start_us=0, head=True)]
            await store.delete(bucket, stream, times)

    asyncio.run(work())


def limit(tiers: Tiers, quota_bytes: int) -> None:
    """Make the robot's `kept` at the cloud with a quota."""

    async def work() -> None:
        async with tiers._store("cloud") as store:
            await store.ensure_bucket(f"{tiers.robot}--kept", BucketSpec("HARD", quota_bytes))

    asyncio.run(work())


def size_of_kept(tiers: Tiers) -> int:
    """Return the bytes in `kept` at the cloud."""

    async def ask() -> int:
        process = tiers.stores["cloud"]
        async with Store(process.url, process.token) as store:
            return (await store.bucket_sizes()).get(f"{tiers.robot}--kept", 0)

    return asyncio.run(ask())
