"""Drafts are cut into batches the engine takes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs.batches import MAX_BYTES, MAX_RECORDS, split
from fleetbox.records import Draft

SIZES = [0, 10, 100_000, 3_000_000, 9_000_000]
PAYLOADS = {size: bytes(size) for size in SIZES}
drafts = st.builds(
    lambda entry, time_us, size: Draft(entry, time_us, PAYLOADS[size], {}, ""),
    st.sampled_from("abcdefg"),
    st.integers(0, 60),
    st.sampled_from(SIZES),
)


@given(st.lists(drafts, max_size=250))
def test_every_draft_is_in_one_batch_or_named_as_repeated(wanted: list[Draft]) -> None:
    """Nothing is lost, doubled or over the limits; a lane has its entries to itself, each in time order."""
    wanted += wanted[:3]  # the very same object twice
    lanes, repeated = split(wanted)
    sent = [draft for lane in lanes for batch in lane for draft in batch]
    assert Counter(map(id, sent + repeated)) == Counter(map(id, wanted))
    assert len({(draft.entry, draft.time_us) for draft in sent}) == len(sent)
    owners: dict[str, int] = {}
    for number, lane in enumerate(lanes):
        last: dict[str, int] = {}
        for batch in lane:
            assert len(batch) <= MAX_RECORDS
            assert len(batch) == 1 or sum(len(draft.data) for draft in batch) <= MAX_BYTES
            assert batch == sorted(batch, key=lambda draft: (draft.entry, draft.time_us))
            for draft in batch:
                assert owners.setdefault(draft.entry, number) == number
                assert draft.time_us > last.get(draft.entry, -1)
                last[draft.entry] = draft.time_us
