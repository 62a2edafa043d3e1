"""Answers questions about recorded data by label, time and event."""
