"""Records survive the batch protocol both ways."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fleetbox.blobs.headers import decode_heads, encode_drafts, encode_times
from fleetbox.records import Draft

names = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=8)
values = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"'), min_size=1, max_size=12)
drafts = st.builds(
    Draft,
    entry=st.lists(st.sampled_from(["a", "b", "cam", "Z_9", "x-y"]), min_size=1, max_size=3).map("/".join),
    time_us=st.integers(0, 2**53),
    data=st.binary(max_size=20),
    labels=st.dictionaries(names, values, max_size=4),
    content_type=st.sampled_from(["text/plain", "image/jpeg"]),
)


@given(st.lists(drafts, min_size=1, max_size=30, unique_by=lambda item: (item.entry, item.time_us)))
def test_what_is_encoded_is_decoded(batch: list[Draft]) -> None:
    """Entry, time, size, labels and type of every record come back, in the order of the body."""
    batch.sort(key=lambda item: (item.entry, item.time_us))
    heads = decode_heads("bucket", encode_drafts(batch))
    assert [(h.entry, h.time_us, h.size, h.labels, h.content_type) for h in heads] == [
        (d.entry, d.time_us, len(d.data), d.labels, d.content_type) for d in batch
    ]


def test_an_update_repeats_its_labels_on_every_record() -> None:
    """No record of an update leaves out a label, which the engine would take as removing it."""
    headers = encode_times([("a", 5), ("a", 9), ("b", 5)], {"keep": "1", "policy": "x,y"})
    spelled = [value for name, value in headers.items() if name in ("x-reduct-0-0", "x-reduct-0-4", "x-reduct-1-0")]
    assert spelled == ['0,application/octet-stream,0=1,1="x,y"'] * 3
