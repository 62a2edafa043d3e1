"""The limits that boards colour and alerts fire at, so that a red cell and a page say the same."""

from __future__ import annotations

SILENT_S = 300.0  # s; a page of the ledger comes each minute: five missing are no hiccup
LAG_S = 60.0  # s; small things arrive within seconds, a picture over a slow link within a minute
HELD_H = 4.0  # h; a ring that holds less than half a shift has let go what nobody has asked for yet
BELOW_EXPECT = 0.9  # of the expected rate; what `fleetbox doctor` fails at
DISK_FULL = 90.0  # percent
BUSY = 90.0  # percent of CPU or memory
HOT_C = 85.0  # °C; common boards throttle from here
WORST = 20  # rows of a "worst" table: what a person reads before the second coffee
FINE_MS = 90_000_000  # ms; up to 25 hours boards read minutes, beyond it hours: 31 streams of 50 robots are 2 M a day
