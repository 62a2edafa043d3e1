"""policy.toml: the one file a person writes about what is kept, what is shipped, and what is a moment."""

from fleetbox.settings.policy.budgets import Budget, Idle
from fleetbox.settings.policy.document import HopRule, Policy, load_policy, parse_policy, small_of
from fleetbox.settings.policy.events import MAX_POST, MAX_PRE, EventRule, Resolution, Target
from fleetbox.settings.policy.hours import Hours
from fleetbox.settings.policy.streams import Expect, Preview, Reach, Small, StreamRule, Thumbnail, Video
from fleetbox.settings.policy.triggers import Fence, TriggerRule

__all__ = [
    "MAX_POST",
    "MAX_PRE",
    "Budget",
    "EventRule",
    "Expect",
    "Fence",
    "HopRule",
    "Hours",
    "Idle",
    "Policy",
    "Preview",
    "Reach",
    "Resolution",
    "Small",
    "StreamRule",
    "Target",
    "Thumbnail",
    "TriggerRule",
    "Video",
    "load_policy",
    "parse_policy",
    "small_of",
]
