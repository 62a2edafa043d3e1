"""Say in one line what a question asks for, as a notebook shows it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleetbox.time import iso_time, show_duration
from fleetbox_query.question import EpisodeQuestion, EventQuestion, Moment, Question


def streams_words(question: Question) -> str:
    """Return such as "r1/imu:ax, from 2026-11-21T13:30:00Z, where site='edge-1'"."""
    around = [events_words(question.events)] if question.events else []
    within = [f"of {episodes_words(question.episodes)}"] if question.episodes else []
    places = [f"{what} {name}" for what, name in (("tier", question.tier), ("site", question.site)) if name]
    parts = (
        ", ".join(map(str, question.selectors)),
        *(f"around {words}" for words in around),
        *within,
        *_times(question.start, question.stop),
        *_conditions(question.when, question.labels),
        *places,
    )
    return ", ".join(parts)


def events_words(question: EventQuestion) -> str:
    """Return such as "events hard_brake of r*, pre 5 s"."""
    kind = f"events {question.kind}" if question.kind else "events of any kind"
    margins = (("pre", question.pre_us), ("post", question.post_us))
    parts = (
        f"{kind} of {', '.join(question.robots)}",
        *_times(question.start, question.stop),
        *(f"{name} {show_duration(margin_us)}" for name, margin_us in margins if margin_us is not None),
        *(["searched"] if question.search else []),
    )
    return ", ".join(parts)


def episodes_words(question: EpisodeQuestion) -> str:
    """Return such as "episodes picks/* of r1, success"."""
    names = f"episodes {', '.join(question.names)}" if question.names else "all episodes"
    told = {True: ["success"], False: ["no success"], None: []}[question.success]
    parts = (
        f"{names} of {', '.join(question.robots)}",
        *told,
        *_times(question.start, question.stop),
        *_conditions(question.when, question.labels),
        *(["dropped"] if question.dropped else []),
    )
    return ", ".join(parts)


def _times(start: Moment, stop: Moment) -> Iterable[str]:
    for word, moment in (("from", start), ("to", stop)):
        if moment is not None:
            yield f"{word} {iso_time(moment) if isinstance(moment, int) else moment}"


def _conditions(when: str, labels: Mapping[str, str]) -> Iterable[str]:
    asked = [*([when] if when else []), *(f"{name}={value!r}" for name, value in labels.items())]
    if asked:
        yield f"where {' and '.join(asked)}"
