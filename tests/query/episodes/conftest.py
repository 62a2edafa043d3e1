"""The fixtures of the query tests, for episodes too."""

from __future__ import annotations

from ..conftest import fleet, fleet_at, own_robot, settings, stream, three_stores, tiers  # noqa: F401
