"""Runs on a robot: takes data in, keeps it, marks moments."""
