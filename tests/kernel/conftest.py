"""What the tests of kernels share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from provider import Loopback


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    """The scripted provider of both dialects."""
    with Loopback() as server:
        yield server
