"""Names that sites write into InfluxDB, and the streams that agents log of themselves."""

from __future__ import annotations

import pytest

from fleetbox.measurements import AGENT_STREAM, HEALTH_STREAMS, HOST_STREAM, OWN, measurement_of
from fleetbox.points import Points, lines
from fleetbox.settings.policy import parse_policy


def test_a_stream_called_like_one_of_ours_has_another_measurement() -> None:
    """Its points would mix with ours; all others keep their names."""
    assert [measurement_of(one.name) for one in OWN] == [f"{one.name}_" for one in OWN]
    assert measurement_of("cam/logs") == "cam/logs"
    made = lines(Points("relay", "r1", "edge", [1], {"on": [1.0]}))
    assert made.text == ["relay_,robot=r1,site=edge on=1 1"]


@pytest.mark.parametrize("ship", ["never", "event", "small"])
def test_health_ships_whatever_the_policy_says_of_everything(ship: str) -> None:
    """A rule for `**` does not mean it; one that names `fleetbox/` does."""
    policy = parse_policy(f'[stream."**"]\nship = "{ship}"\n')
    assert {policy.rule_for(stream).ship for stream in HEALTH_STREAMS} == {"always"}
    assert policy.rule_for("fleetbox/other").ship == ship
    named = parse_policy(f'[stream."**"]\nship = "always"\n[stream."fleetbox/h*"]\nship = "{ship}"\n')
    assert named.rule_for(HOST_STREAM).ship == ship
    assert named.rule_for(AGENT_STREAM).ship == "always"
