"""Values find their type, survive encoding, and are refused with a reason when they cannot."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetbox import types
from fleetbox.errors import InputError
from fleetbox.types import images, time_series

FRAME = np.random.default_rng(1).integers(0, 255, (36, 64, 3), dtype=np.uint8)
PNG = cv2.imencode(".png", FRAME)[1].tobytes()
JPEG = cv2.imencode(".jpg", FRAME)[1].tobytes()
EVENT = {"id": "brake-1", "kind": "brake", "robot": "r1", "time_us": 5, "start_us": 1, "stop_us": 9, "state": "open"}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "time_series"),
        (1.5, "time_series"),
        (True, "time_series"),
        (np.float32(2), "time_series"),
        ({"a": 1, "b": {"c": "on", "d": [1, 2]}, "e": None}, "time_series"),
        ({"a": np.zeros(3)}, "time_series"),
        ("pump on", "log"),
        (JPEG, "images"),
        (memoryview(PNG), "images"),
        (b"\0\1", "file"),
        (b"", "file"),
        (FRAME, "images"),
        (FRAME[:, :, 0], "images"),
        ({"a": [{}]}, "json"),
        ({"names": ["a", "b"]}, "json"),
        ({}, "json"),
        ([1, 2], "json"),
    ],
)
def test_a_value_finds_its_type(value: Any, name: str) -> None:
    """What is logged decides what it is logged as."""
    assert types.of(value).name == name


@pytest.mark.parametrize("value", [None, object(), 1j, np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), {1, 2}])
def test_a_value_without_a_type_is_refused(value: Any) -> None:
    """A value that nothing can hold raises InputError that says what can be logged."""
    with pytest.raises(InputError, match="cannot be logged"):
        types.of(value)


def test_types_are_found_by_name() -> None:
    """Each type has its name, its class and a content type; an unknown one lists the others."""
    assert {name: types.get(name).cls for name in types.ALL} == {
        "time_series": "sensor",
        "images": "media",
        "video": "media",
        "log": "log",
        "json": "log",
        "file": "log",
        "event": "meta",
        "ledger": "meta",
    }
    with pytest.raises(InputError, match=r"(?s)'hologram' is not known.*time_series"):
        types.get("hologram")


@settings(deadline=None)  # a busy machine is no failure
@given(st.dictionaries(st.text(min_size=1), st.floats() | st.integers(), max_size=5))
def test_flatten_keeps_or_refuses(value: dict[str, Any]) -> None:
    """A flat row is returned as it is or refused as a whole, never changed."""
    usable = value and all(name.isprintable() for name in value)
    fits = all(isinstance(item, float) or -(2**63) <= item < 2**63 for item in value.values())
    if usable and fits:
        assert time_series.flatten(value) is value
    else:
        with pytest.raises(InputError):
            time_series.flatten(value)


def test_flatten_names_nested_fields_with_dots() -> None:
    """Nested dicts become dotted names, numpy becomes plain, and arrays are copied."""
    array = np.arange(3, dtype=np.int16)
    row = time_series.flatten({"arm": {"q": array, "on": np.True_}, "n": np.int8(4), "gap": None})
    array[0] = 9

    assert row == {"arm.q": [0, 1, 2], "arm.on": True, "n": 4, "gap": None}
    assert time_series.flatten(2.5) == {"value": 2.5}


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ({}, "without fields"),
        ({"a": 2**63}, "'a' is 9223372036854775808, outside int64"),
        ({"a": [0, -(2**63) - 1]}, "outside int64"),
        ({1: 2}, "field name 1"),
        ({"a": {1: 2}}, "field name 1 is a int"),
        ({"": 1}, "not usable"),
        ({"a\nb": 1}, "not usable"),
        ({"time_us": 1}, "reserved"),
        ({"a": {"b": 1}, "a.b": 2}, "given twice"),
        ({"a": [[1]]}, "'a' holds a list"),
        ({"a": object()}, "'a' holds a object"),
        ({f"f{index}": 0 for index in range(5_000)}, "5000 fields"),
    ],
)
def test_wrong_rows_are_named(value: Any, reason: str) -> None:
    """A row that cannot be kept is refused when it is logged, by field and reason."""
    with pytest.raises(InputError, match=reason):
        time_series.flatten(value)


def test_rows_gather_into_a_chunk() -> None:
    """Rows with their stamps come back from one chunk; a field a row lacks is missing there."""
    kind = types.get("time_series")
    data = kind.encode([{"time_us": 1, "a": 1.5}, {"time_us": 2, "a": 2.5, "b": "x"}])

    assert kind.decode(data) == [{"time_us": 1, "a": 1.5, "b": None}, {"time_us": 2, "a": 2.5, "b": "x"}]
    assert kind.preview(data) == "2 rows; a=2.5, b=x"


@pytest.mark.parametrize(("data", "content_type"), [(JPEG, "image/jpeg"), (PNG, "image/png")])
def test_encoded_pictures_pass_through(data: bytes, content_type: str) -> None:
    """JPEG and PNG bytes stay byte-equal and are told apart."""
    kind = types.get("images")

    assert kind.encode(data) == data
    assert kind.content_type_of(data) == content_type
    assert kind.decode(data).shape == FRAME.shape


@pytest.mark.parametrize("picture", [FRAME, FRAME[:, :, 0], FRAME[::2, ::-1]])
def test_arrays_become_jpeg(picture: Any) -> None:
    """Colour, grey and strided pictures encode to JPEG of their own shape and nearly their own values."""
    smooth = cv2.blur(np.ascontiguousarray(picture), (9, 9))
    decoded = images.decode(images.encode(smooth))

    assert decoded.shape == smooth.shape
    assert np.abs(decoded.astype(int) - smooth).mean() < 6


@pytest.mark.parametrize("name", ["log", "json", "file"])
def test_oversized_values_name_the_limit(name: str) -> None:
    """Eight million bytes fit into a record, one more is refused with the limit."""
    value: Any = "x" * 8_000_001 if name != "file" else b"x" * 8_000_001

    with pytest.raises(InputError, match="8,000,000"):
        types.get(name).encode(value)
    if name == "file":
        assert len(types.get(name).encode(value[:-1])) == 8_000_000


@pytest.mark.parametrize(
    ("name", "value"), [("log", "a\u00e9\n"), ("json", {"a": [1, None, "\u00e9"]}), ("file", b"\0"), ("event", EVENT)]
)
def test_values_come_back(name: str, value: Any) -> None:
    """Text, JSON, bytes and events decode to what was encoded, and preview on one line."""
    kind = types.get(name)
    data = kind.encode(value)

    assert kind.decode(data) == value
    assert "\n" not in kind.preview(data)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("log", 1, "not int"),
        ("log", "\ud800", "UTF-8"),
        ("json", {"a": float("nan")}, "JSON"),
        ("json", {"a": object()}, "object"),
        ("file", "text", "not str"),
        ("images", b"text", "neither JPEG nor PNG"),
        ("images", np.zeros((0, 4), np.uint8), "cannot be encoded"),
        ("event", {"id": "x"}, "lacks kind"),
        ("event", EVENT | {"time_us": 1.5}, "time_us is 1.5"),
        ("event", EVENT | {"kind": ""}, "kind is ''"),
        ("event", EVENT | {"start_us": 10}, "starts after it stops"),
        ("event", "x", "not str"),
    ],
)
def test_wrong_values_are_refused(name: str, value: Any, reason: str) -> None:
    """A value of the wrong kind raises InputError that says why."""
    with pytest.raises(InputError, match=reason):
        types.get(name).encode(value)


@pytest.mark.parametrize("name", ["json", "images", "time_series"])
def test_damaged_payloads_are_refused(name: str) -> None:
    """Bytes that do not decode raise InputError."""
    for data in (b"", b"\xff\xd8\xffcut"):
        with pytest.raises(InputError):
            types.get(name).decode(data)
