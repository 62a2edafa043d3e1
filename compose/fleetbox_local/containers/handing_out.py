"""Hands tokens to whoever uses them: `python -m fleetbox_local.containers.handing_out SOURCE=TARGET...`.

On one machine it does what a person does between machines, once: what is there already is left alone, because it
may have been rotated since.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetbox.disk import OWNER_ONLY, write_whole

PATIENCE_S = 120.0  # a site makes its robots' tokens within a second of its start; a busy machine gets more
LOOK_S = 0.2


def hand_out(pairs: Sequence[tuple[Path, Path]], pause: Callable[[], bool]) -> list[Path]:
    """Copy each source whose target is missing, waiting while `pause()` is true; return the sources that never came."""
    missing = [(source, target) for source, target in pairs if not target.exists()]
    while missing:
        for source, target in missing:
            if source.exists():
                write_whole(target, source.read_text(encoding="utf-8"), OWNER_ONLY, durable=True)
        missing = [(source, target) for source, target in missing if not target.exists()]
        if missing and not pause():
            break
    return [source for source, _ in missing]


def main(arguments: Sequence[str]) -> int:
    """Hand out what the arguments name as SOURCE=TARGET."""
    pairs = [(Path(source), Path(target)) for source, _, target in (text.partition("=") for text in arguments)]
    deadline = time.monotonic() + PATIENCE_S

    def pause() -> bool:
        time.sleep(LOOK_S)
        return time.monotonic() < deadline

    never = hand_out(pairs, pause)
    for source in never:
        sys.stderr.write(f"{source} was not made within {PATIENCE_S:.0f} s; see the site's log\n")
    return 1 if never else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
