"""Check for `doctor` and `status` what became of pictures that were to become video."""

from __future__ import annotations

from collections import Counter

from fleetbox.checks import Check
from fleetbox.settings import FleetSettings, load_robot
from fleetbox_edge.checks import settings_file
from fleetbox_edge.transcoding.notes import Notes, StreamNote
from fleetbox_edge.transcoding.transcoder import NOTES

NAMED = 2  # reasons in one line


async def transcoding(fleet: FleetSettings, robot: str | None) -> list[Check]:
    """Check the robots whose robot.toml is on this machine; streams of which nothing was tried are not spoken of."""
    found: list[Check] = []
    for name in [robot] if robot else fleet.known_robots:
        if path := settings_file(fleet, name):
            notes = Notes(load_robot(path).state / NOTES).streams
            found += [
                judged(name, stream, note) for stream, note in sorted(notes.items()) if note.videos or note.refused
            ]
    return found


def judged(robot: str, stream: str, note: StreamNote) -> Check:
    """Return how a stream stands: WARN where more stretches stay pictures than become video."""
    text = f"{stream}: {note.videos:,} videos"
    if note.pictures_bytes:
        text += f", {100 * note.video_bytes / note.pictures_bytes:.0f} % of their pictures' bytes"
    if note.left:
        text += f"; the pictures of {len(note.left):,} wait until they are proven at the site"
    if note.refused:
        text += f"; {note.refused:,} stretches stay pictures: {_why(note)}"
    if note.refused > note.videos:
        step = "let `least_psnr` be less or `most_share` more in the policy's `video` of that stream, or leave it out"
        return Check("WARN", "transcoding", robot, text, f"{stream} stays pictures", step)
    return Check("PASS", "transcoding", robot, text)


def _why(note: StreamNote) -> str:
    """Return the last reasons, the commonest first; numbers in them differ, what they fall short of does not."""
    last: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for why in note.kept.values():
        kind = why.rpartition(", ")[2]
        counts[kind] += 1
        last[kind] = why
    return "; ".join(f"{last[kind]} ({count:,}x)" for kind, count in counts.most_common(NAMED))
