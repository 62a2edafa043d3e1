"""The secret between a store's tasks and the relay beside it."""

from __future__ import annotations

import hashlib
import hmac

_PURPOSE = b"fleetbox relay"  # one token may serve several derived secrets; this names ours


def relay_secret(source_token: str) -> str:
    """Return the hex secret that tasks of this store show to their relay.

    It follows from the store's token, so both sides know it without a second setting, and it is worth nothing
    anywhere else: no destination token rests inside a store.
    """
    return hmac.new(source_token.encode(), _PURPOSE, hashlib.sha256).hexdigest()
