"""Tokens go from the site that made them to whoever uses them, once."""

from __future__ import annotations

from pathlib import Path

from fleetbox_local.containers.handing_out import hand_out


def test_it_waits_for_what_is_not_made_yet(tmp_path: Path) -> None:
    """A token that the site makes late is handed out as soon as it is there."""
    source, target = tmp_path / "a", tmp_path / "b"

    def pause() -> bool:
        source.write_text("late")
        return True

    assert hand_out([(source, target)], pause) == []
    assert target.read_text() == "late"
    assert target.stat().st_mode & 0o777 == 0o600


def test_what_is_there_is_left_alone(tmp_path: Path) -> None:
    """A token that was rotated since is not overwritten by the first one."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_text("first")
    target.write_text("rotated")
    assert hand_out([(source, target)], lambda: False) == []
    assert target.read_text() == "rotated"


def test_what_never_comes_is_named(tmp_path: Path) -> None:
    """When patience ends, the sources that are missing are returned."""
    assert hand_out([(tmp_path / "a", tmp_path / "b")], lambda: False) == [tmp_path / "a"]
