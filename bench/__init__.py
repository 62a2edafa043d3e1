"""Measure fleetbox beside the raw engine in the same run."""
