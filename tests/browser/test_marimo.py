"""A run in a marimo notebook, in a page."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from kernel import environment
from paths import PROJECT
from playwright.sync_api import Browser, expect
from slack import with_slack

NOTEBOOK = re.findall(
    r"(?ms)^```python\n(import marimo.*?)^```", (PROJECT / "docs" / "elsewhere.md").read_text()
)
SECONDS = 30


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """Where marimo serves the notebook of the page."""
    (tmp_path / "letters.py").write_text(NOTEBOOK[0])
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command = [sys.executable, "-m", "marimo", "--yes", "run", "letters.py", "--headless"]
    command += ["--no-token", "--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        assert server.stdout is not None
        said = iter(server.stdout.readline, "")
        assert any("URL" in line for line in said), "marimo did not start"
        yield f"http://127.0.0.1:{port}"
        server.terminate()


def test_a_run_is_shown_with_its_table(chromium: Browser, address: str) -> None:
    """The winner stands there, and a click opens the votes."""
    page = chromium.new_page()
    page.goto(address)
    run = page.locator(".parallm-run")
    expect(run).to_contain_text("damage: 4 of 5 votes", timeout=with_slack(SECONDS) * 1000)
    vote = run.get_by_text("ANSWER: billing").first
    expect(vote).to_be_hidden()
    run.get_by_text("5 votes", exact=True).click()
    expect(vote).to_be_visible()
