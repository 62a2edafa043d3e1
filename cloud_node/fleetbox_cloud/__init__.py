"""Runs at a site: provisions stores, loads scalars."""
