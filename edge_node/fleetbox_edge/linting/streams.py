"""Lint the rules of streams: what never decides anything, and what asks for the impossible."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fleetbox.naming import SMALL, parent_of
from fleetbox.selectors import is_glob, matches_glob
from fleetbox.settings.policy import Policy, StreamRule, small_of
from fleetbox_edge.linting.findings import Finding, KnownStream
from fleetbox_edge.linting.globs import covers

PICTURES = "images"


def lint_streams(policy: Policy, known: Sequence[KnownStream] | None) -> Iterator[Finding]:
    """Yield what cannot be meant so in the rules of streams."""
    yield from _lint_shadows(policy)
    for glob, rule in policy.stream.items():
        key = f'stream."{glob}"'
        if rule.ship == "small" and rule.preview is None and rule.thumbnail is None:
            step = "say preview = {} or thumbnail = {}, or ship = 'event'"
            yield Finding("warning", f"{key}.ship", "'small' ships small frames only, and none are made", step)
        if rule.ship == "never" and rule.ring is not None:
            message = "nothing of it ever travels, and in memory nothing of it stays either"
            yield Finding("warning", f"{key}.ring", message, "say ship = 'event', or keep it on disk")
        if known is not None:
            yield from _lint_against(policy, glob, rule, known)


def _lint_shadows(policy: Policy) -> Iterator[Finding]:
    globs = list(policy.stream)
    for at, glob in enumerate(globs):
        parent, kind = parent_of(glob)
        name = parent if kind in SMALL else ""
        for earlier in globs[:at]:
            if covers(earlier, glob):
                if policy.stream[glob].model_fields_set == {"expect"} and not is_glob(glob):
                    break  # says only that it must exist, and that holds wherever it stands
                message = f"it never decides anything: {earlier!r} stands before it and matches all that it would"
                yield Finding("error", f'stream."{glob}"', message, f"move it above {earlier!r}, or drop it")
                break
        else:
            maker = next((rule for other, rule in policy.stream.items() if name and covers(other, name)), None)
            if maker is not None and small_of(maker, kind) is not None:
                message = f"it never decides anything: small frames follow the rule of {name!r}"
                yield Finding("error", f'stream."{glob}"', message, f"say it in the `{kind}` of that rule")


def _lint_against(policy: Policy, glob: str, rule: StreamRule, known: Sequence[KnownStream]) -> Iterator[Finding]:
    """Compare a rule with the streams a robot really has."""
    ruled = [stream for stream in known if _decides(policy, glob, stream.name)]
    if not ruled:
        return
    pictures = [stream for stream in ruled if stream.type == PICTURES]
    key = f'stream."{glob}"'
    for what in ("video", *SMALL):
        if getattr(rule, what) is not None and not pictures:
            names = ", ".join(stream.name for stream in ruled[:5])
            message = f"{names}: no stream of pictures is among what it matches"
            yield Finding("warning", f"{key}.{what}", message, "drop it, or move it to the rule of the cameras")


def _decides(policy: Policy, glob: str, name: str) -> bool:
    return next((other for other in policy.stream if matches_glob(other, name)), None) == glob
