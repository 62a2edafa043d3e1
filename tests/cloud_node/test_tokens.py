"""Token files: only their owner reads them, and they are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetbox.errors import FleetboxError
from fleetbox_cloud.tokens import save_token


def test_a_token_file_is_private(tmp_path: Path) -> None:
    """The file is 0600 in a folder that is 0700, and a new value takes the place of the old."""
    folder = tmp_path / "tokens"
    save_token(folder, "r1", "first")
    path = save_token(folder, "r1", "second")
    assert path.read_text() == "second"
    assert path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in folder.iterdir()] == ["r1.token"]


def test_a_token_that_cannot_be_kept_is_told(tmp_path: Path) -> None:
    """A folder that cannot hold the file is an error that says the value is lost and how to get another."""
    (tmp_path / "r1.token").mkdir()
    with pytest.raises(FleetboxError, match="replace the token"):
        save_token(tmp_path, "r1", "value")
