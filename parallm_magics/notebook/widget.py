"""The live table's widgets: one HTML, beside it a button where clicks are heard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

VIEW = "application/vnd.jupyter.widget-view+json"

Cancel = Callable[[], None]


class Table:
    """What stands below a cell while its run lasts; shown with the first drawing, then updated.

    The page may send two messages and no other: a click on the button, and the wish for a widget's
    state, which a page that is opened anew has. ipywidgets itself would let it set any trait.
    """

    def __init__(self, cancel: Cancel | None = None) -> None:
        """Take what a click on the button does; without it there is no button."""
        self._cancel = cancel
        self._html: Any = None
        self._button: Any = None
        self._parts: list[Any] = []
        self._handle: Any = None

    def draw(self, html: str) -> None:
        """Show this instead of what was shown before."""
        if self._html is not None:
            self._html.value = html
            return
        from IPython.display import display
        from ipywidgets import HTML, Button, HBox

        if self._cancel is None:
            shown = self._html = HTML(html)
        else:
            # Given at once: a layout that is set later leaves an open one behind.
            wide = {"flex": "1 1 auto", "min_width": "0", "width": "auto"}
            narrow = {"flex": "0 0 auto", "width": "auto", "margin": "2px"}
            self._html = HTML(html, layout=wide)
            tooltip = "Stop the workers; keep what is done"
            self._button = Button(description="Cancel", tooltip=tooltip, layout=narrow)
            shown = HBox([self._html, self._button], layout={"align_items": "flex-start"})
        # Models of their own, which closing a widget leaves open in front end and kernel.
        for widget in (shown, self._html, self._button):
            for part in (widget, *(getattr(widget, name, None) for name in ("layout", "style"))):
                if part is not None and part not in self._parts:
                    self._parts.append(part)
        for part in self._parts:
            part.comm.on_msg(partial(self._heard, part))
        view = {"version_major": 2, "version_minor": 0, "model_id": shown.model_id}
        self._handle = display({VIEW: view}, raw=True, display_id=True)

    def take_down(self) -> None:
        """Leave nothing behind, whatever the front end says to it."""
        with contextlib.suppress(Exception):
            if self._handle is not None:
                self._handle.update({}, raw=True)
        with contextlib.suppress(Exception):
            # nbclient saves the last state of closed widgets too: let that hold no answers.
            if self._html is not None:
                self._html.value = ""
        for part in self._parts:
            with contextlib.suppress(Exception):
                part.close()

    def _heard(self, part: Any, message: Any) -> None:
        """Take a message of the page, from any thread; of what it says nothing is believed."""
        match message:
            case {"content": {"data": {"method": "request_state"}}}:
                part.send_state()
            case {"content": {"data": {"method": "custom", "content": {"event": "click"}}}}:
                if part is self._button and self._cancel is not None:
                    self._cancel()
                    self._button.disabled = True
                    self._button.description = "Cancelling…"
