"""What a researcher's `Selection.pull` asks of a robot: the same orders as `fleetbox pull`."""

from __future__ import annotations

import pytest

from fleetbox.errors import InputError
from fleetbox_edge.recorder import Recorder
from fleetbox_query.fleet import connect
from tests.edge_node.conftest import Robot

from .test_pulling import SECOND, events_of, recorded


def test_a_selection_is_pulled(robot: Robot) -> None:
    """pull(ask=False) says what it would be and asks for nothing; pull() asks, a second one finds nothing left."""
    with Recorder(robot.file) as recorder, connect(robot.file) as fleet:
        first_us = recorded(recorder)
        chosen = fleet.select(f"{robot.id}/log/**").between(first_us, first_us + 9 * SECOND)
        (told,) = chosen.pull(ask=False)
        assert (told.robot, told.records, told.size_bytes, told.exact, told.id) == (robot.id, 10, 60, True, None)
        assert events_of(robot) == []
        (asked,) = chosen.pull(note="for training")
        assert (asked.records, asked.waits) == (10, False)
        assert fleet.event(asked.id or "").note == "for training"
    assert events_of(robot) == ["pull"]


def test_what_cannot_be_pulled(robot: Robot) -> None:
    """More than max, conditions, and a window without a beginning are refused; nothing is asked for."""
    with Recorder(robot.file) as recorder, connect(robot.file) as fleet:
        recorded(recorder)
        chosen = fleet.select(f"{robot.id}/log/**")
        with pytest.raises(InputError, match="--max"):
            chosen.last("1h").pull(max=20)
        with pytest.raises(InputError, match="500MB"):
            chosen.last("1h").pull(max="plenty")
        with pytest.raises(InputError, match="no beginning"):
            chosen.pull()
        with pytest.raises(InputError, match="windows whole"):
            chosen.last("1h").where(run="a").pull()
    assert events_of(robot) == []
