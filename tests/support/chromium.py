"""The browser that the tests open pages in: the system's, else Playwright's own, else Debian's package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
APPLICATIONS = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
MISSING = (
    "no Chromium or Chrome was found and none could be installed: run "
    "'sudo apt-get install chromium' (Debian), 'sudo dnf install chromium' (Fedora) or "
    "'playwright install chromium' (any system), then the tests again"
)
INSTALL_SECONDS = 600

Run = Callable[[Sequence[str]], bool]
Find = Callable[[], str | None]


def executable() -> str:
    """Give the path of a browser; install one where there is none.

    Raises:
        RuntimeError: there is none and none can be installed; says which command does it.
    """
    with _one_at_a_time():
        return chosen(_of_the_system, _of_playwright, _succeeds)


def chosen(system: Find, playwright: Find, succeeds: Run) -> str:
    """Choose among these places, and install in this order where all are empty."""
    found = system() or playwright()
    if found:
        return found
    if succeeds([sys.executable, "-m", "playwright", "install", "chromium"]):
        found = playwright()
    if not found and _debian_allows(succeeds) and _debian_installs(succeeds):
        found = system()
    if not found:
        raise RuntimeError(MISSING)
    return found


def _of_the_system() -> str | None:
    on_path = (shutil.which(name) for name in NAMES)
    applications = (path for path in APPLICATIONS if os.access(path, os.X_OK))
    return next(filter(None, on_path), None) or next(applications, None)


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = playwright.chromium.executable_path
    return path if os.access(path, os.X_OK) else None


def _succeeds(command: Sequence[str]) -> bool:
    """Whether the command ends well; one that is missing or never ends does not."""
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            timeout=INSTALL_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _as_root() -> list[str]:
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def _debian_allows(succeeds: Run) -> bool:
    return succeeds([*_as_root(), "apt-get", "--version"])


def _debian_installs(succeeds: Run) -> bool:
    apt = [*_as_root(), "apt-get", "-qq"]
    packages = ["--no-install-recommends", "chromium", "fonts-dejavu-core"]
    return succeeds([*apt, "update"]) and succeeds([*apt, "install", "-y", *packages])


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Two workers of one test run must not install at once."""
    import fcntl

    lock = Path(tempfile.gettempdir()) / f"parallm-browser-{os.getuid()}.lock"
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
