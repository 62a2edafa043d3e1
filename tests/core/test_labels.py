"""Labels: reserved names, named limits, text the engine's headers can carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetbox.errors import InputError
from fleetbox.labels import MAX_USER_LABELS, MAX_VALUE_CHARS, RESERVED, check_user_labels


def test_values_become_text() -> None:
    """Numbers and truth values are stored as text."""
    assert check_user_labels({"a": 1, "b": 2.5, "c": True, "d": "x y"}) == {
        "a": "1",
        "b": "2.5",
        "c": "true",
        "d": "x y",
    }


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_reserved_names_are_refused(name: str) -> None:
    """A label that fleetbox writes itself cannot be set by a user."""
    with pytest.raises(InputError, match="reserved"):
        check_user_labels({name: "x"})


@pytest.mark.parametrize("name", ["", "Upper", "with-dash", "1st", "a b", "é", "x" * 41])
def test_illegal_names_are_refused(name: str) -> None:
    """A label name outside lower_snake_case is refused."""
    with pytest.raises(InputError, match="lower_snake_case"):
        check_user_labels({name: "x"})


@pytest.mark.parametrize(
    "value", ["", " x", "x ", "a,b", 'a"b', "é", "line\nbreak", "x" * (MAX_VALUE_CHARS + 1), None, [1]]
)
def test_illegal_values_are_refused(value: object) -> None:
    """A value that the engine's headers would corrupt is refused."""
    with pytest.raises(InputError, match="label 'a'"):
        check_user_labels({"a": value})


def test_too_many_labels_are_refused() -> None:
    """The number of labels on one record is bounded."""
    with pytest.raises(InputError, match=f"at most {MAX_USER_LABELS}"):
        check_user_labels({f"l{index}": "x" for index in range(MAX_USER_LABELS + 1)})


def test_too_long_in_all_is_refused() -> None:
    """All labels of one record together are bounded: they stand in one header."""
    with pytest.raises(InputError, match="characters on one record"):
        check_user_labels({f"l{index}": "x" * 190 for index in range(12)})


@given(st.dictionaries(st.text(max_size=50), st.text(max_size=250), max_size=20))
def test_what_passes_is_plain_visible_ascii(labels: dict[str, str]) -> None:
    """Whatever is accepted is visible ASCII without commas and quotes."""
    try:
        checked = check_user_labels(labels)
    except InputError:
        return
    for text in checked.values():
        assert text.isascii()
        assert text.isprintable()
        assert not set(text) & set(',"')
