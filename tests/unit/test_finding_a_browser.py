"""The test command brings its browser, or says in one line which command does."""

from __future__ import annotations

from collections.abc import Sequence

import chromium
import pytest


class Machine:
    """A machine with some browsers and some installers that work.

    Attributes:
        commands: what was tried, the last words of each.
    """

    def __init__(self, has: str = "", works: str = "", root: bool = False) -> None:
        self.has, self.works, self.root = set(has.split()), set(works.split()), root
        self.commands: list[str] = []

    def chosen(self) -> str:
        """The browser that the tests would open."""
        return chromium.chosen(
            lambda: "/usr/bin/chromium" if "system" in self.has else None,
            lambda: "/home/playwright/chrome" if "playwright" in self.has else None,
            self.succeeds,
        )

    def succeeds(self, command: Sequence[str]) -> bool:
        """A stubbed installer: what works leaves its browser behind."""
        words = " ".join(command)
        self.commands.append(words)
        if "playwright install chromium" in words and "playwright" in self.works:
            self.has.add("playwright")
            return True
        if "apt-get" in words and "apt" in self.works:
            if "install" in words:
                self.has.add("system")
            return True
        return False


@pytest.mark.parametrize(
    ("has", "works", "path", "tried"),
    [
        pytest.param("system playwright", "", "/usr/bin/chromium", 0, id="the system's first"),
        pytest.param("playwright", "", "/home/playwright/chrome", 0, id="then Playwright's"),
        pytest.param("", "playwright apt", "/home/playwright/chrome", 1, id="Playwright installs"),
        pytest.param("", "apt", "/usr/bin/chromium", 4, id="Debian installs"),
    ],
)
def test_a_browser_is_found_or_installed(has: str, works: str, path: str, tried: int) -> None:
    """In the order of what costs least; nothing is installed where one is there."""
    machine = Machine(has, works)
    assert machine.chosen() == path
    assert len(machine.commands) == tried


def test_without_one_the_message_names_the_command() -> None:
    """One line, without root and without a download."""
    with pytest.raises(RuntimeError, match=r"apt-get install chromium.*playwright install") as told:
        Machine().chosen()
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(("user", "first"), [(0, "apt-get"), (1000, "sudo -n apt-get")])
def test_only_who_may_install_tries(user: int, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked for a password."""
    monkeypatch.setattr(chromium.os, "geteuid", lambda: user)
    machine = Machine()
    with pytest.raises(RuntimeError):
        machine.chosen()
    assert machine.commands[1].startswith(first)
    assert len(machine.commands) == 2, "what apt-get cannot do is not tried"
