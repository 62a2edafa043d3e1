"""Write what the courier says into the robot's `meta`, through the recorder: it survives an outage and kill -9."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleetbox import events, orders, policies, types
from fleetbox.events import Event
from fleetbox.labels import Labels
from fleetbox.orders import Answer
from fleetbox.policies import Followed

META = replace(types.get("json"), cls="meta")  # what we write for sites is JSON, and goes where events go
Tell = Callable[[str, bytes, Labels], None]  # stream, payload, labels


def kind_of(stream: str) -> types.Type:
    """Return the type that a stream of `meta` is written as."""
    return types.get(events.TYPE) if stream == events.STREAM else META


def tell_answer(tell: Tell, answer: Answer) -> None:
    """Say what became of an order."""
    tell(orders.ANSWERS, orders.encode(answer), {"kind": answer.kind, "state": answer.state})


def tell_policy(tell: Tell, followed: Followed) -> None:
    """Say which policy holds from now on."""
    tell(orders.POLICIES, policies.encode(followed), policies.labels_of(followed))


def tell_event(tell: Tell, event: Event) -> None:
    """Raise an event, as a mark does."""
    tell(events.STREAM, events.encode(event), {"event": event.id, "kind": event.kind, "state": event.state})
