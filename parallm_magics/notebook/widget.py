"""The live table's widgets: an HTML and its style sheet, beside it a button where clicks are heard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from parallm_magics.display import Board, StyleSheet

VIEW = "application/vnd.jupyter.widget-view+json"

Cancel = Callable[[], None]

CLASS = "parallm-live"
_BUTTON = "7em"
SHEET = f"""<style>
/* The result has come to stand below the table: both would be one picture too many, none a jump. */
.jp-OutputArea-child:has(.{CLASS}):has(~ .jp-OutputArea-child .parallm-run) {{ display: none; }}
/* As wide and as large as a saved result, so that nothing moves when that takes its place. */
.{CLASS} {{ position: relative; padding-right: 20px; }}
.{CLASS} .widget-html, .{CLASS} .widget-html-content {{ margin: 0; }}
.{CLASS} .mathjax_ignore {{ font-size: var(--jp-content-font-size1, 14px); }}
.{CLASS} button {{ position: absolute; top: 0; right: 0; width: {_BUTTON}; margin: 2px; }}
/* Text goes around the button, and below it the table has the whole width. */
.{CLASS}:has(button) .mathjax_ignore::before {{
    content: ""; float: right; width: calc({_BUTTON} + 8px); height: 36px;
}}
%s
</style>"""
"""Sent with the first drawing, and again only when a look is new."""


class Table:
    """What stands below a cell while its run lasts; shown with the first drawing, then updated.

    The page may send two messages and no other: a click on the button, and the wish for a widget's
    state, which a page that is opened anew has. ipywidgets itself would let it set any trait.
    """

    def __init__(self, cancel: Cancel | None = None) -> None:
        """Take what a click on the button does; without it there is no button."""
        self._cancel = cancel
        self._looks, self._rules = StyleSheet(CLASS), ""
        self._html: Any = None
        self._sheet: Any = None
        self._button: Any = None
        self._parts: list[Any] = []
        self._handle: Any = None

    def draw(self, board: Board, now: float) -> None:
        """Show how things stand at that many seconds since the run's start."""
        self.show(board.live_html(now))

    def finish(self) -> None:
        """Take back the offer to stop, as nothing runs any more."""
        if self._button is not None:
            self._button.layout.visibility = "hidden"

    def show(self, html: str) -> None:
        """Show this instead of what was shown before."""
        drawn, rules = self._looks.classed(html), self._looks.rules
        if self._html is not None:
            if rules != self._rules:
                self._sheet.value = SHEET % rules
            self._html.value, self._rules = drawn, rules
            return
        from IPython.display import display
        from ipywidgets import HTML, Box, Button

        # Given at once: a layout that is set later leaves an open one behind.
        self._sheet = HTML(SHEET % rules, layout={"display": "none"})
        wide = {"flex": "1 1 auto", "min_width": "0", "width": "auto"}
        self._html, self._rules = HTML(drawn, layout=wide), rules
        if self._cancel is not None:
            tooltip = "Stop the workers; keep what is done"
            self._button = Button(description="Cancel", tooltip=tooltip)
        children = [each for each in (self._sheet, self._html, self._button) if each is not None]
        shown = Box(children, _dom_classes=(CLASS,))
        # Models of their own, which closing a widget leaves open in front end and kernel.
        for widget in (shown, *children):
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
