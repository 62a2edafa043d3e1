"""Write episodes as the rows and lines people see."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fleetbox.cli.output import size_text
from fleetbox.time import iso_time, show_duration

if TYPE_CHECKING:
    from fleetbox.episodes import Episode, Revision
    from fleetbox_query.episodes.horizon import Standing

COLUMNS = ("name", "robot", "start", "length", "note", "success", "labels", "version", "state", "loses data")


def row_of(one: Episode, stand: Standing) -> dict[str, Any]:
    """Return an episode as a row of `episode ls`."""
    labels = " ".join(f"{name}={text}" for name, text in sorted(one.labels.items()))
    went = {True: "yes", False: "no", None: None}[one.success]
    return {
        "name": one.name, "robot": one.robot, "start": iso_time(one.start_us),
        "length": show_duration(one.length_us) if one.state != "open" else "open", "note": one.note or None,
        "success": went, "labels": labels or None, "version": one.version, "state": one.state,
        "loses data": _fate(one, stand),
    }  # fmt: skip


def _fate(one: Episode, stand: Standing) -> str:
    if stand.gone:
        return "gone"
    lost = "lost some; " if stand.lost else ""
    if one.pinned:
        return f"{lost}pinned at {one.pinned.get('place')}"
    return lost + (iso_time(stand.loses_us)[:10] if stand.loses_us is not None else "never")


def standing_dict(stand: Standing) -> dict[str, Any]:
    """Return how an episode stands as plain values."""
    return {"loses_us": stand.loses_us, "lost": dict(stand.lost), "gone": stand.gone}


def shown_lines(one: Episode) -> list[str]:
    """Return what an episode shows and is made of, as lines."""
    labels = ", ".join(f"{name}={text}" for name, text in sorted(one.labels.items()))
    lines = [f"streams {', '.join(one.streams)}" + (f", without {', '.join(one.removed)}" if one.removed else "")]
    lines += [f"computed {name} = {text}" for name, text in sorted(one.computed.items())]
    lines += [f"labels {labels}"] if labels else []
    lines += [f"made of {', '.join(one.parents[:5])}{', ...' if len(one.parents) > 5 else ''}"] if one.parents else []
    return lines


def lost_lines(one: Episode, stand: Standing) -> list[str]:
    """Return what is lost of an episode, and when more will be, as lines."""
    if stand.gone:
        return [f"no place that answered holds any of {one.name}: the rings have turned over"]
    lines = [f"lost: {name} is held from {iso_time(at)} only" for name, at in sorted(stand.lost.items())]
    if one.pinned:
        lines.append(f"pinned at {one.pinned.get('place')}, {size_text(int(one.pinned.get('bytes', 0)))}")
    elif stand.loses_us is not None:
        lines.append(f"it begins to lose data on {iso_time(stand.loses_us)[:10]}: fleetbox episode pin {one.name}")
    return lines


def revision_row(one: Revision) -> dict[str, Any]:
    """Return a revision as a row of `episode show`."""
    when = iso_time(one.at_us)
    return {"version": one.version, "when": when, "did": one.did, "by": one.by, "what": _changes_text(one)}


def _changes_text(revision: Revision) -> str:
    """Return what a revision changes, cut to what fits a row; nothing of the one that began it."""
    if revision.version == 1:
        return ""
    changes = [f"{name}={value}" for name, value in {**revision.set, **revision.labels}.items()]
    text = ", ".join(changes)
    return text if len(text) <= 60 else f"{text[:57]}..."
