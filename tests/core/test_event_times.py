"""Times that hang on an event: the reading of them, and the picking of the event."""

from __future__ import annotations

import pytest

from fleetbox.errors import InputError, NotFound
from fleetbox.event_times import pick, split_event_time
from fleetbox.events import Event

EVENTS = [Event(name, "brake", "r1", 5, 1, 9) for name in ("brake-1a", "brake-1b", "stall-1", "stall-1x")]


@pytest.mark.parametrize(
    ("text", "found"),
    [("event:brake-1", ("brake-1", 0)), ("event:brake-1-10s", ("brake-1", -10_000_000)),
     (" event:brake-1+1h30m", ("brake-1", 5_400_000_000)), ("event:brake-10sx", ("brake-10sx", 0))],
)  # fmt: skip
def test_event_times(text: str, found: tuple[str, int]) -> None:
    """An offset is told apart from the digits and dashes of an id."""
    assert split_event_time(text) == found


def test_an_event_is_picked_by_its_id_or_its_beginning() -> None:
    """A whole id goes before a beginning; what is not unique, not there or not named explains itself."""
    assert pick(EVENTS, "stall-1", "r1").id == "stall-1"
    assert pick(EVENTS, "brake-1b", "r1").id == pick(EVENTS, "brake-1b"[:8], "r1").id == "brake-1b"
    with pytest.raises(InputError, match="one of 2"):
        pick(EVENTS, "brake", "r1")
    with pytest.raises(NotFound, match="not known at r1"):
        pick(EVENTS, "fall", "r1")
    with pytest.raises(InputError, match="names no event"):
        split_event_time("event:")
