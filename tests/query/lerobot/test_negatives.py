"""Which pictures are read together, and which of them stay."""

from __future__ import annotations

from fleetbox_query.items import Item
from fleetbox_query.lerobot.negatives import FILM_FRAMES, MOST_FRAMES, Negatives, Spot, block_length, reads_block


def item(time_us: int, size: int = 10) -> Item:
    """A picture of so many bytes."""
    return Item("r1", "cam", time_us, "images", {}, "image/jpeg", data=bytes(size))


def read(*times_us: int) -> dict[Spot, Item]:
    """A block of pictures of 10 bytes."""
    return {("front", 0, at): item(at) for at in times_us}


def test_a_block_has_as_many_frames_as_fit() -> None:
    """Small pictures make a whole batch, large ones none, and videos what one spans."""
    assert block_length(50_000, film=False) == MOST_FRAMES
    assert block_length(200_000, film=False) == 16
    assert block_length(9_000_000, film=False) == 1
    assert block_length(0, film=False) == MOST_FRAMES
    assert block_length(50_000, film=True) == FILM_FRAMES


def test_a_block_is_read_where_it_stays_or_is_on_the_way() -> None:
    """Without room, only the next ones: of a block somewhere else one picture alone would be used."""
    assert reads_block(640, 64, 1_000, None, 64_000)
    assert not reads_block(640, 64, 1_000, None, 63_999)
    assert reads_block(640, 64, 1_000, 576, 0)
    assert reads_block(640, 64, 1_000, 640 - 16 * 64, 0)
    assert not reads_block(640, 64, 1_000, 640 - 17 * 64, 0)
    assert not reads_block(576, 64, 1_000, 640, 0)
    assert not reads_block(640, 64, 1_000, 640, 0)


def test_what_was_read_longest_ago_goes_first() -> None:
    """Blocks read together stay together, even beyond the room; what is held decoded frees its room."""
    negatives = Negatives(40)
    negatives.put([read(1, 2), read(3, 4)])
    assert negatives.room_bytes == 0
    negatives.put([read(5)])
    assert negatives.get(("front", 0, 1)) is None
    assert negatives.get(("front", 0, 3)) is not None
    negatives.drop(("front", 0, 3))
    assert negatives.room_bytes == 20
    negatives.put([read(*range(10, 20))])
    assert negatives.room_bytes < 0
    assert negatives.get(("front", 0, 5)) is None
    assert negatives.get(("front", 0, 19)) is not None
    negatives.put([read(20)])
    assert negatives.room_bytes == 30
