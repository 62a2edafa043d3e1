"""Export pictures as H.264 films: constant rate where one is asked for, else each frame at its own time."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fleetbox.errors import InputError
from fleetbox.time import iso_time
from fleetbox_query.exports.ahead import Ahead
from fleetbox_query.exports.films import Film, join_films
from fleetbox_query.exports.job import Job
from fleetbox_query.exports.output import Batch
from fleetbox_query.exports.pictures import as_array, is_picture
from fleetbox_query.plan import FAR_US

SEGMENT = 1800  # frames of all films together, a minute of two cameras: a killed export makes at most these again


def is_folder(target: Path) -> bool:
    """Tell whether the target is to be a folder: unless it is named *.mp4."""
    return target.suffix.lower() != ".mp4"


def write(job: Job) -> str | None:
    """Write ROBOT/STREAM.mp4 for each stream of pictures, or the one file of one stream."""
    films = {name: Film(name, job.options.fps, **said) for name, said in job.state.setdefault("films", {}).items()}
    for name, film in films.items():
        film.take_up(job.out, f"held/{job.state['segments']:05d}/{name}")
    if job.state.get("joined"):
        return _whole(job, list(films))
    _segments(job, films)
    if not job.out.folder and len(films) > 1:
        raise InputError(f"{len(films)} films do not fit one file: {', '.join(films)}", "give a folder: -o DIR")
    for name in films:
        with job.out.part(f"{name}.mp4", {"film": films[name].about()}) as path:
            join_films([job.out.path_of(f"segments/{at:05d}/{name}.mp4") for at in films[name].segments], path)
    job.state["joined"] = True
    job.reached(FAR_US)
    return _whole(job, list(films))


def _whole(job: Job, names: list[str]) -> str | None:
    for name in job.out.finished:
        if name.startswith(("segments/", "held/")):
            job.out.drop(name)
    if not names and not job.out.folder:
        raise InputError("no pictures lie in that time", "`fleetbox ls` shows from when to when there are some")
    return None if job.out.folder else f"{names[0]}.mp4"


def _segments(job: Job, films: dict[str, Film]) -> None:
    """Encode segments of every film, each finished and remembered before the next."""
    records = job.records(job.prepared(films=True))
    try:
        items = Ahead(records)
        while not items.ended:
            job.state["segments"] = int(job.state.get("segments", -1)) + 1
            with job.out.batch() as batch:
                last_us = _segment(job, films, items, batch)
            job.tally.read(records.provenance)
            job.state["films"] = {name: film.as_dict() for name, film in films.items()}
            job.reached(FAR_US if items.ended else items.next_us)
            job.show(last_us)
        job.tally.read(records.provenance)
    finally:
        records.close()


def _segment(job: Job, films: dict[str, Film], items: Ahead, batch: Batch) -> int:
    """Encode one segment of every film that has frames in it; return the last picture's time."""
    number, frames, last_us = job.state["segments"], 0, -1
    for name, film in films.items():
        film.begin(partial(batch.path, f"segments/{number:05d}/{name}.mp4"), number)
    while not items.ended and (frames < SEGMENT or items.next_us == last_us):
        item = items.take()
        last_us = item.time_us
        if not is_picture(job, item):
            continue
        name = f"{item.robot}/{item.stream}"
        if name not in films:
            films[name] = Film(name, job.options.fps)
            films[name].begin(partial(batch.path, f"segments/{number:05d}/{name}.mp4"), number)
        try:
            frames += films[name].add(as_array(item, burn_time=job.options.burn_time), item.time_us)
            job.tally.count(name, 1, len(item.data or b""))
        except InputError as error:
            job.tally.skip(f"{name} at {iso_time(item.time_us)}: {error.message}")
    for name, film in films.items():
        film.close(last=items.ended)
        if film.held is not None:
            batch.path(f"held/{number:05d}/{name}").write_bytes(film.kept())
    return last_us
