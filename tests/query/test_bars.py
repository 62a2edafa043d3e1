"""Progress shows where IPython runs, and only there; IPython is no dependency, so a stand-in takes its two calls."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fleetbox_query.bars import bar


class _Screen:
    """Keep what a notebook's cell would show."""

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, data: dict[str, str], *, raw: bool, display_id: bool) -> _Screen:
        """Show at first."""
        assert raw
        assert display_id
        self.shown.append(data)
        return self

    def update(self, data: dict[str, str], *, raw: bool) -> None:
        """Show anew."""
        assert raw
        self.shown.append(data)


def _ipython(monkeypatch: pytest.MonkeyPatch, shell: Any) -> _Screen:
    screen = _Screen()
    module, display = ModuleType("IPython"), ModuleType("IPython.display")
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    display.display = screen.display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", module)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return screen


def test_a_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bar is drawn at once, not more often than an eye follows, and at the end whatever the time."""
    screen = _ipython(monkeypatch, SimpleNamespace(kernel=object()))
    ticks = iter([0.0, 0.1, 0.3, 0.35])
    with bar("export <mcap>", None, lambda: next(ticks)) as advance:
        for done in (0.1, 0.5, 1.0):
            advance(done, "3 MB")
    assert [one["text/plain"] for one in screen.shown] == [
        "export <mcap> 0%",
        "export <mcap> 50% 3 MB",
        "export <mcap> 100% 3 MB",
    ]
    assert "value='0.500'" in screen.shown[1]["text/html"]
    assert "&lt;mcap&gt;" in screen.shown[1]["text/html"]


def test_elsewhere_nothing_shows(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """No IPython, or one that is imported but runs nothing; and a function given is told instead of a bar."""
    told: list[float] = []
    screen = _ipython(monkeypatch, SimpleNamespace(kernel=object()))
    with bar("x", lambda done, text: told.append(done)) as advance:
        advance(0.5, "")
    _ipython(monkeypatch, None)
    with bar("x", None) as advance:
        advance(0.5, "")
    monkeypatch.delitem(sys.modules, "IPython")
    with bar("x", None) as advance:
        advance(0.5, "")
    assert told == [0.5]
    assert screen.shown == []
    assert capsys.readouterr() == ("", "")
