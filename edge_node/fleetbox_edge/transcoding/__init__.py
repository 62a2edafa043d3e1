"""Transcoding: stored pictures become H.264 while the robot is idle, and go only once the video is proven."""

from fleetbox_edge.transcoding.films import Films
from fleetbox_edge.transcoding.proving import Proof, objection, prove
from fleetbox_edge.transcoding.stretches import STRETCH_US, Stretch, clip_more, stretches
from fleetbox_edge.transcoding.transcoder import Transcoder

__all__ = ["STRETCH_US", "Films", "Proof", "Stretch", "Transcoder", "clip_more", "objection", "prove", "stretches"]
