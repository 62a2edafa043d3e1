"""Episodes as researchers use them: found, looked at, changed, pinned; no record is touched but by a pin's copies."""
