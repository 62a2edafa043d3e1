"""Put policies in force on a robot of the tests, as its courier does."""

from __future__ import annotations

import time
from pathlib import Path

from fleetbox.settings import Policy, parse_policy
from fleetbox.signing import Envelope, new_key, sign
from fleetbox_edge.live_policy import LivePolicy, Taken

HOUR_US = 3_600_000_000
PRIVATE, PUBLIC = new_key()
TRUSTED = f'policy_keys = ["{PUBLIC}"]'  # a line of robot.toml


def switch(live: LivePolicy, text: str) -> Policy:
    """Take a policy's text as if it had come over the air, and return it."""
    policy = parse_policy(text)
    now_us = time.time_ns() // 1000
    envelope = sign(Envelope(text, ("*",), now_us, now_us + HOUR_US), PRIVATE)
    live.put(Taken(envelope, policy, at_us=now_us))
    assert live.current.hash == policy.hash
    return policy


def of_folder(folder: Path) -> LivePolicy:
    """Return another process's view of a robot's policy."""
    return LivePolicy(Policy(), folder / "state" / "policy")
