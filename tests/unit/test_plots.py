"""The pictures of the lessons are drawn whatever was measured."""

from __future__ import annotations

from typing import Any

import plots
import pytest


def test_an_interval_that_ends_at_its_value_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """All right: the upper end of its interval may be a little less than 1."""
    shown: list[Any] = []
    monkeypatch.setattr(plots, "display", lambda data, raw: shown.append(data))
    plots.bars({"all": (1.0, 0.8, 1 - 1e-16), "none": (0.0, 1e-17, 0.2)}, "share right")
    assert shown[0]["image/png"].startswith(b"\x89PNG")
    assert "all       1 [0.8 .. 1]" in shown[0]["text/plain"]
