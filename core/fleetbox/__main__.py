"""Run the command line as `python -m fleetbox`."""

from fleetbox.cli.root import main

main()
