"""The faults, one context manager each: the fault begins with the block and ends with it."""
