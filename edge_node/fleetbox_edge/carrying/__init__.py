"""Carry: what a robot's site does not have yet travels on a stick, and is brought into a site's store by hand."""
