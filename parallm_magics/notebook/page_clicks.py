"""A click on Cancel in a page that runs Python itself, where widgets are heard only once the cell has ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable


class PageClicks:
    """Hears the clicks on one button by a channel of its own; our extension of the page sends them.

    Attributes:
        name: the channel's, and the class by which the page finds it at the button.
    """

    def __init__(self, prefix: str, do: Callable[[], None]) -> None:
        """Do this at every click, until `close`."""
        from js import BroadcastChannel
        from pyodide.ffi import create_proxy

        self.name = f"{prefix}{secrets.token_hex(8)}"
        self._channel = BroadcastChannel.new(self.name)
        self._heard = create_proxy(lambda event: do())
        self._channel.onmessage = self._heard

    def close(self) -> None:
        """Hear no more."""
        self._channel.close()
        self._heard.destroy()
