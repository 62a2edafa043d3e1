"""What containers do besides fleetbox's own verbs: first start, handing out tokens, health."""
