"""The engine's batch protocol as values: headers in, headers out, bytes found again."""

from __future__ import annotations

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from fleetbox_replication.wire import (
    RecordError,
    WireError,
    batch_headers,
    error_headers,
    errors_of,
    label_headers,
    labels_of,
    make_part,
    parse_part,
    parts_of,
    slices,
)

LABELS = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_]{0,10}", fullmatch=True),
    st.from_regex(r"[!#-~]([ !#-~]*[!#-~])?", fullmatch=True),
    max_size=6,
)


@given(time_us=st.integers(0, 2**63), size=st.integers(0, 2**40), labels=LABELS)
def test_what_is_announced_is_read_back(time_us: int, size: int, labels: dict[str, str]) -> None:
    """A record's header holds its size, content type and labels, commas in values included."""
    part = make_part(time_us, size, "image/jpeg", labels)
    assert parts_of(batch_headers([part]).items()) == (part,)


@pytest.mark.parametrize(
    ("header", "size", "content_type", "labels"),
    [
        ("5,", 5, "application/octet-stream", {}),
        ("0,,keep=1", 0, "application/octet-stream", {"keep": "1"}),
        (' 7 ,text/plain,a="x,y",b=2', 7, "text/plain", {"a": "x,y", "b": "2"}),
        ("7,text/plain,a=,b=2", 7, "text/plain", {"a": "", "b": "2"}),
    ],
)
def test_headers_as_the_engine_writes_them(header: str, size: int, content_type: str, labels: dict[str, str]) -> None:
    """Empty content types, quoted values and removed labels are understood."""
    part = parse_part(1, header)
    assert (part.size, part.content_type, part.labels) == (size, content_type, labels)


@pytest.mark.parametrize("header", ["", "x,y", "-1,text/plain", '5,text/plain,a="open'])
def test_a_broken_header_is_refused(header: str) -> None:
    """A header that follows no protocol raises."""
    with pytest.raises(WireError):
        parse_part(1, header)


def test_a_time_that_is_no_number_is_refused() -> None:
    """A record's header must end in a time."""
    with pytest.raises(WireError):
        parts_of([("x-reduct-time-soon", "5,")])


def test_records_come_oldest_first_whatever_the_headers_order_and_case() -> None:
    """Bytes follow in order of time, so do the parts."""
    parts = parts_of([("X-Reduct-Time-30", "1,"), ("x-reduct-time-4", "2,"), ("other", "x")])
    assert [part.time_us for part in parts] == [4, 30]


def test_errors_of_single_records_survive_the_way_back() -> None:
    """Status and message are read and written, an unreadable status stays an error."""
    errors = {7: RecordError(409, "exists, already"), 9: RecordError(507, "full")}
    assert errors_of(error_headers(errors).items()) == errors
    assert errors_of([("x-reduct-error-3", "nonsense")])[3].status == 500


def test_label_headers_carry_labels_and_no_size() -> None:
    """A relabelling announces no bytes."""
    part = make_part(5, 100, "image/jpeg", {"keep": "1"})
    assert label_headers([part]) == {"x-reduct-time-5": "0,,keep=1"}
    assert labels_of([("X-Reduct-Label-keep", "1"), ("Content-Type", "a/b")]) == {"keep": "1"}


def _part(time_us: int, data: bytes) -> tuple[object, bytes]:
    return make_part(time_us, len(data), "", {"xxh": xxhash.xxh3_64_hexdigest(data)}), data


@given(
    bodies=st.lists(st.binary(max_size=6), min_size=1, max_size=8),
    repeats=st.lists(st.integers(1, 3), min_size=8, max_size=8),
)
def test_bytes_that_came_twice_are_found_by_their_hash(bodies: list[bytes], repeats: list[int]) -> None:
    """A batch whose bytes repeat is cut into the records it announces, never into wrong ones."""
    made = [_part(at, data) for at, data in enumerate(bodies)]
    body = b"".join(data * repeats[at] for at, (_, data) in enumerate(made))
    found = slices([part for part, _ in made], body)  # type: ignore[misc]
    assert [bytes(found[at]) for at in range(len(bodies))] == bodies


def test_a_body_that_fits_no_announcement_is_refused() -> None:
    """Missing bytes, foreign bytes and repeats without hashes raise."""
    plain, hashed = make_part(1, 3, "", {}), _part(1, b"abc")[0]
    for part, body in ((plain, b"ab"), (plain, b"abcabc"), (hashed, b"abcabx")):
        with pytest.raises(WireError):
            slices([part], body)  # type: ignore[list-item]
