"""The catalog names every fault once and chooses by profile or by name."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fleetbox.errors import InputError
from fleetbox_local.drill.catalog import SCENARIOS, choose


def test_names_are_their_own() -> None:
    """No two scenarios share a name, and each says what it does and how it ends."""
    assert len({scenario.name for scenario in SCENARIOS}) == len(SCENARIOS)
    assert all(scenario.does and scenario.ends for scenario in SCENARIOS)


def test_quick_is_a_third_of_the_matrix() -> None:
    """The quick profile holds about a third, from several groups."""
    quick = choose("quick")

    assert len(SCENARIOS) / 4 <= len(quick) <= len(SCENARIOS) / 2
    assert len({scenario.group for scenario in quick}) >= 5


def test_equal_settings_stand_together() -> None:
    """Scenarios that can share a scratch fleet follow one another."""
    settings = [scenario.setting for scenario in choose("full")]

    changes = sum(one != other for one, other in pairwise(settings))
    assert changes == len(set(settings)) - 1


def test_an_unknown_name_is_refused() -> None:
    """A name that nothing has is a usage error that says where the names are."""
    with pytest.raises(InputError, match="no drill is called quake"):
        choose("token,quake")
