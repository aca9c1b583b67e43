"""Waiting adapts to the machine and is never shorter than asked for."""

from __future__ import annotations

import pytest
import slack


@pytest.mark.parametrize(
    ("slowness", "load", "seconds"), [(1, 0.2, 10), (1, 4, 40), (3, 1, 30), (2, 2, 40)]
)
def test_slack_grows_with_what_slows_the_machine(
    slowness: float, load: float, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a slow core and by others that want it."""
    monkeypatch.setattr(slack, "_slowness", lambda: slowness)
    monkeypatch.setattr(slack, "_load", lambda: load)
    assert slack.with_slack(10) == seconds


def test_the_machine_is_measured() -> None:
    """Whatever machine this is, nothing is waited for less than on a quiet one."""
    assert slack.with_slack(1) >= 1
