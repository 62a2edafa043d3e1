"""Simulate a robot: deterministic numbers, frames and text from a seed, logged as a real one would log them."""

from fleetbox_edge.simulate.drive import SimulateReport, run
from fleetbox_edge.simulate.streams import Scene, SimulatedStream, build, streams
from fleetbox_edge.simulate.verb import command

__all__ = ["Scene", "SimulateReport", "SimulatedStream", "build", "command", "run", "streams"]
