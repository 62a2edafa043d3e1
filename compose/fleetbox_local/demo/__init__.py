"""The main job end to end on real servers, in acts, every number measured."""

from fleetbox_local.demo.script import run, run_on

__all__ = ["run", "run_on"]
