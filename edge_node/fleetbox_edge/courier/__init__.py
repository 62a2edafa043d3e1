"""The courier: fetches what sites ask of this robot, does it, and answers."""

from fleetbox_edge.courier.courier import Courier
from fleetbox_edge.courier.memory import Memory
from fleetbox_edge.courier.switching import Switch

__all__ = ["Courier", "Memory", "Switch"]
