"""Write an answer's file whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fleetbox.errors import FleetboxError, InputError


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Yield where to write meanwhile; it becomes `path` once the block ends well, and is gone if not.

    Folders on the way are made. Raises InputError where no file can lie, FleetboxError where it cannot be written.
    """
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except (NotADirectoryError, IsADirectoryError, FileExistsError) as error:
        raise InputError(f"cannot write {path}: {error.strerror}", "give another -o FILE") from error
    except OSError as error:
        text = f"cannot write {path}: {error.strerror or error}"
        raise FleetboxError(text, "make room or give another -o FILE") from error
    finally:
        if part.is_file():
            part.unlink()
