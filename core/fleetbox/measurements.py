"""Name what sites write into InfluxDB beside the streams: measurements, tags, fields and their units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

ROLLUP_S = 1  # s; one point per stream and second: 2,000 robots at full rate would be a million points a second
ROLLUPS = ("min", "mean", "max", "last", "count")  # field `ax` becomes `ax.min` ... `ax.count`; no field has both names

HOST_STREAM = "fleetbox/host"  # logged by each robot's agent; comes as a stream, so by its roll-ups: `cpu.mean`
AGENT_STREAM = "fleetbox/agent"  # the same: ring, spool and uplink
HOST_NUMBERS = {
    "cpu": "percent",
    "ram": "percent",
    "disk": "percent",
    "disk_free_bytes": "B",
    "temp_c": "C",
    "load1": "",
}
HEALTH_STREAMS = frozenset({HOST_STREAM, AGENT_STREAM})  # always ship; globs mean them when they name `fleetbox`
HEALTH_GLOB = "fleetbox/"  # how a glob begins that means them


@dataclass(frozen=True, slots=True)
class Measurement:
    """Hold a measurement's name, its tags, and its fields with their units ("" is a count, "text" is text)."""

    name: str
    tags: tuple[str, ...]
    fields: Mapping[str, str]


# Per robot as this site knows it, every half minute. `trouble` ranks: the worst come first, 0 is well.
ROBOTS = Measurement(
    "robots",
    ("robot", "site"),
    {
        "trouble": "",
        "recording": "bool",
        "age_s": "s",
        "lag_s": "s",
        "held_h": "h",
        "waiting": "",
        "refused": "",
        "lost": "",
        "unexplained": "",
        "dropped": "",
        "streams": "",
        "streams_well": "",
        "dead_letters": "",
    },
)
# Per stream and minute, from the ledger: what was seen beside what the policy expects.
STREAMS = Measurement(
    "streams",
    ("robot", "site", "stream"),
    {"hz": "Hz", "expect_hz": "Hz", "bytes_s": "B/s", "age_s": "s"},
)
# One point per event at its own time; written again when a revision changes it.
EVENTS = Measurement(
    "events",
    ("robot", "site", "kind"),
    {
        "id": "text",
        "note": "text",
        "severity": "text",
        "by": "text",
        "trigger": "text",
        "state": "text",
        "start_us": "us",
        "stop_us": "us",
        "duration_s": "s",
        "labelled": "",
        "lat": "deg",
        "lon": "deg",
    },
)
# The books per stream's minute and hop; `site` is where the hop leads.
BOOKS = Measurement(
    "books",
    ("robot", "site", "stream", "class"),
    dict.fromkeys(
        (
            "recorded",
            "selected",
            "kept_on_robot",
            "arrived",
            "waiting",
            "refused",
            "lost",
            "unexplained",
            "dropped",
            "missing",
        ),
        "",
    ),
)
# The same, an hour in one point at its beginning: by the minute a month of 50 robots is 67 million points.
BOOKS_HOURS = Measurement("books_hours", BOOKS.tags, BOOKS.fields)
# An hour of HOST_STREAM in one point: its fields are named as the roll-ups of a second are.
HOST_HOURS = Measurement(
    "host_hours",
    ("robot", "site"),
    {f"{name}.{what}": "" if what == "count" else unit for name, unit in HOST_NUMBERS.items() for what in ROLLUPS},
)
# Dead letters that wait, by reason.
DEAD_LETTERS = Measurement("dead_letters", ("robot", "site", "reason"), {"letters": "", "oldest_s": "s"})
# Per hop that begins at this site: what its relay sends and what its reconciler found.
RELAY = Measurement(
    "relay",
    ("robot", "site"),
    {"bytes_s": "B/s", "records_s": "/s", "held": "bool", "missing": "", "copied": ""},
)
# The machine a site runs on, and what its loader does.
SITES = Measurement(
    "sites",
    ("site",),
    {**HOST_NUMBERS, "points_s": "/s", "refused": "", "store_bytes": "B"},
)
# Lines of log streams as they arrive, newest last.
LOGS = Measurement("logs", ("robot", "site"), {"stream": "text", "level": "text", "text": "text"})

# One point each few seconds by which a site sees that InfluxDB still holds what it wrote; no board shows it.
STAMPS = Measurement("fleetbox/stamps", ("site",), {"number": ""})

OWN = (ROBOTS, STREAMS, EVENTS, BOOKS, BOOKS_HOURS, HOST_HOURS, DEAD_LETTERS, RELAY, SITES, LOGS, STAMPS)
RESERVED = frozenset(one.name for one in OWN)  # a stream of such a name would mix with ours


def measurement_of(stream: str) -> str:
    """Return the measurement that holds a stream's numbers: its own name, with "_" behind it where that is ours."""
    return f"{stream}_" if stream in RESERVED else stream
