"""Places that hold records: a robot, an edge site, the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from fleetbox.selectors import Selector
from fleetbox.settings.secrets import Secret

Tier = Literal["robot", "edge", "cloud"]
TIERS: tuple[Tier, ...] = ("robot", "edge", "cloud")


@dataclass(frozen=True, slots=True)
class Influx:
    """Say where an InfluxDB 2 is and which bucket takes the scalars; `raw` chooses streams that it gets row by row.

    `retention_s` is how long the bucket is to keep points, None = as it is.
    """

    url: str
    token: str
    org: str
    bucket: str
    secret: Secret | None = None
    raw: tuple[Selector, ...] = ()
    retention_s: int | None = None

    def current_token(self) -> str:
        """Return the token as it stands now; raise AccessDenied when it is not where the settings say."""
        return self.secret.read() if self.secret else self.token


@dataclass(frozen=True, slots=True)
class Place:
    """Say where one store is and what surrounds it.

    `name` is a robot id or a site name; `relay` is where that place's own outgoing relay listens;
    `next` is the site its records travel to; `quota` holds bytes per class. The token is read when it is used, so
    that a laptop without the cloud's token can still ask its edge site.
    """

    name: str
    tier: Tier
    url: str
    token: str
    relay: str | None = None
    next: str | None = None
    influx: Influx | None = None
    quota: Mapping[str, int] = field(default_factory=dict)
    secret: Secret | None = None

    def current_token(self) -> str:
        """Return the token as it stands now: a replaced file takes effect without a restart.

        Raises AccessDenied when it is not where the settings say.
        """
        return self.secret.read() if self.secret else self.token

    def bucket(self, robot: str, cls: str) -> str:
        """Name the bucket that holds a robot's class at this place."""
        return cls if self.tier == "robot" else f"{robot}--{cls}"
