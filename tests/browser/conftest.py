"""What the tests in a browser share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import Lab, browser
from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server with the extension."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser."""
    with browser() as chromium:
        yield chromium
