"""The boards, in the order in which a person opens them."""

from fleetbox_dashboards.boards.books import books
from fleetbox_dashboards.boards.events import events
from fleetbox_dashboards.boards.fleet import fleet
from fleetbox_dashboards.boards.frame import PREFIX, TAG, Frame, assemble, uid
from fleetbox_dashboards.boards.host import host
from fleetbox_dashboards.boards.robot import robot

BOARDS = (fleet, robot, books, events, host)

__all__ = ["BOARDS", "PREFIX", "TAG", "Frame", "assemble", "uid"]
