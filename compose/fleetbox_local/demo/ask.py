"""Act 3, Ask: the cloud is asked by label and time; a scalar is drawn, the frame at the brake saved, a mean taken."""

from __future__ import annotations

import fleetbox as fb
from fleetbox.events import Event
from fleetbox.time import iso_time
from fleetbox_local.demo.moment import CAMERA
from fleetbox_local.demo.stage import HERO, POST_US, PRE_US, Stage
from fleetbox_query.plot import Size, braille

SCALAR = "ax"  # forward acceleration: where a brake shows
STREAM = "imu"
PLOT = Size(width=64, height=6)


def run(stage: Stage, event: Event) -> None:
    """Ask the cloud what happened around the brake."""
    with fb.connect(stage.fleet) as fleet:
        window = fleet.select(f"{HERO}/{STREAM}").where(keep=1).tier("cloud").between(event.start_us, event.stop_us)
        frame = window.frames()
        mean = fleet.scalar_mean(f"{HERO}/{STREAM}:{SCALAR}", event.time_us - PRE_US, event.time_us)
        picture = fleet.select(f"{HERO}/{CAMERA}").tier("cloud").at(event.time_us)
    path = stage.directory / "brake.jpg"
    path.write_bytes(picture.item.data or b"")
    times_us = frame.index.as_unit("us").asi8
    stage.facts["ask"] = {
        "rows": len(frame),
        "scalar": f"{HERO}/{STREAM}:{SCALAR}",
        "mean_before": mean.value,
        "mean_source": mean.source,
        "frame": str(path),
        "frame_off_us": picture.off_us,
    }
    shown = round(mean.value, 3) + 0.0  # never "-0.000"
    source = "InfluxDB" if mean.source == "influx" else "the chunks: no InfluxDB at hand"
    stage.say(
        f"3 ASK     cloud, keep=1, {iso_time(event.start_us)[11:19]} to {iso_time(event.stop_us)[11:19]} UTC: "
        f"{len(frame)} rows of {HERO}/{STREAM}; {SCALAR} in m/s²"
    )
    drawing = braille([int(time) for time in times_us], frame[SCALAR].tolist(), PLOT)
    stage.say(drawing)
    stage.say(_axis(len(drawing.splitlines()[0]) - PLOT.width))
    stage.say(
        f"          mean of {SCALAR} in the 10 s before: {shown:.3f} m/s², read from {source}\n"
        f"          the frame at the brake ({picture.off_us / 1000:+.0f} ms): {path.name}"
    )


def _axis(margin: int) -> str:
    """Return the line under the plot: the window's ends, and the brake where it happened."""
    cells = [" "] * (margin + PLOT.width)
    brake = margin + round(PLOT.width * PRE_US / (PRE_US + POST_US))
    for at, text in ((margin, f"-{PRE_US // 10**6} s"), (brake, "brake"), (len(cells) - 4, f"+{POST_US // 10**6} s")):
        cells[at : at + len(text)] = text
    return "".join(cells).rstrip()
