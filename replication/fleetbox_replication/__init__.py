"""Decides which labelled records travel which hop."""
