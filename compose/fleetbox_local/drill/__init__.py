"""Break a scratch fleet on purpose, then close its books."""
