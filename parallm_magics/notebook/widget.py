"""The live table's widgets: an HTML and its style sheet, beside it a button where clicks are heard."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from parallm_magics.core.browser import IN_BROWSER
from parallm_magics.display import Board, StyleSheet
from parallm_magics.notebook.page_clicks import PageClicks

VIEW = "application/vnd.jupyter.widget-view+json"

Cancel = Callable[[], None]

CLASS = "parallm-live"
_OVER = f"{CLASS}-over"
_PARTS = [f"{CLASS}-{part}" for part in ("sheet", "top", "fold", "rows")]
_STATUS = f"{CLASS}-status"
_BUTTON = "7em"
STOPS = f"{CLASS}-stop-"
"""What the class of a button begins with whose clicks our extension passes on."""
SHEET = f"""<style>
/* The result has come to stand below the table: both would be one picture too many, none a jump. */
.jp-OutputArea-child:has(.{_OVER}):has(~ .jp-OutputArea-child .parallm-run) {{ display: none; }}
/* As wide and as large as a saved result, so that nothing moves when that takes its place. */
.{CLASS} {{ position: relative; padding-right: 20px; flex-direction: column; }}
.{CLASS}.{CLASS} .widget-html, .{CLASS} .widget-html-content {{ margin: 0; width: auto; min-width: 0; }}
.{CLASS}.{CLASS} .{CLASS}-sheet {{ display: none; }}
.{CLASS}.{CLASS} .{_STATUS} {{ width: 0; }}
.{CLASS} .mathjax_ignore {{ font-size: var(--jp-content-font-size1, 14px); }}
/* Above the text that comes after it, which would take the click. */
.{CLASS} button {{ position: absolute; z-index: 1; top: 0; right: 0; width: {_BUTTON}; margin: 2px; }}
/* Nobody passes its clicks on. */
body:not(.parallm-clicks) button[class*="{STOPS}"] {{ display: none; }}
/* Nothing runs any more. */
.{_OVER} button {{ visibility: hidden; }}
/* Text goes around the button, and below it the table has the whole width. */
.{CLASS}:has(button) .{CLASS}-top .mathjax_ignore::before {{
    content: ""; float: right; width: calc({_BUTTON} + 8px); height: 36px;
}}
.{CLASS}:has(.{CLASS}-fold details:not([open])) .{CLASS}-rows {{ display: none; }}
%s
</style>"""
"""Sent with the first drawing, and again only when a look is new."""

_UNSEEN = "position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%%)"
STATUS = f'<span role="status" style="{_UNSEEN}">%s</span>'
"""What a screen reader says: apart from the table, which is new several times a second."""


class Stop(NamedTuple):
    """What the button says: before a click, of what a click does, and after it."""

    word: str
    does: str
    doing: str


CANCEL = Stop("Cancel", "Stop the workers; keep what is done", "Cancelling…")
LEAVE = Stop(
    "Leave",
    "Stop waiting; the batches go on, and so does the cell when it is run again",
    "Leaving…",
)


class Table:
    """What stands below a cell while its run lasts; shown with the first drawing, then updated.

    The page may send two messages and no other: a click on the button, and the wish for a widget's
    state, which a page that is opened anew has. ipywidgets itself would let it set any trait.
    """

    def __init__(self, cancel: Cancel | None = None) -> None:
        """Take what a click on the button does; without it there is no button."""
        self._cancel, self._stop = cancel, CANCEL
        self._looks = StyleSheet(CLASS)
        self._htmls: list[Any] = []
        self._status: Any = None
        self._button: Any = None
        self._clicks: PageClicks | None = None
        self._parts: list[Any] = []
        self._handle: Any = None

    def draw(self, board: Board, now: float) -> None:
        """Show how things stand at that many seconds since the run's start."""
        self._stop = LEAVE if board.batched else CANCEL
        self.show(*board.live_parts(now))
        self._announce(board)

    def _announce(self, board: Board) -> None:
        told = STATUS % board.announcement()
        if self._status.value != told:
            self._status.value = told

    def finish(self, board: Board) -> None:
        """Take back the offer to stop, and let the result take the place, as nothing runs any more."""
        if self._parts:
            self._announce(board)
            # Not before: of two runs of a cell the other one's result may come to stand below.
            self._parts[0].add_class(_OVER)

    def show(self, html: str, fold: str = "", folded: str = "") -> None:
        """Show this instead of what was shown before.

        Args:
            fold: a disclosure, which stays as it was drawn first, as the reader may have opened it.
            folded: what that shows and hides.
        """
        drawn = [self._looks.classed(part) for part in (html, fold, folded) if part]
        rules = SHEET % self._looks.rules
        if self._htmls:
            values = [rules, drawn[0], *([self._htmls[2].value, drawn[2]] if fold else [])]
            for widget, value in zip(self._htmls, values, strict=True):
                if widget.value != value:
                    widget.value = value
            return
        from IPython.display import display
        from ipywidgets import HTML, Box, Button, Layout

        # Layout and style are shared, as each is a further model to make, to send and to close.
        layout = Layout()
        self._status = HTML(STATUS % "", _dom_classes=(_STATUS,), layout=layout)
        shared = {"layout": layout, "style": self._status.style}
        self._htmls = [
            HTML(part, _dom_classes=(name,), **shared)
            for part, name in zip([rules, *drawn], _PARTS, strict=False)
        ]
        children = [self._status, *self._htmls]
        if self._cancel is not None:
            stop = self._stop
            if IN_BROWSER:
                self._clicks = PageClicks(STOPS, self._clicked)
            # From the first: whoever is quick clicks at once.
            classes = (self._clicks.name,) if self._clicks is not None else ()
            self._button = Button(
                description=stop.word, tooltip=stop.does, layout=layout, _dom_classes=classes
            )
            # Wherever it is seen, it is the first stop of the Tab key.
            children.insert(0, self._button)
        shown = Box(children, _dom_classes=(CLASS,), layout=layout)
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
        if self._clicks is not None:
            self._clicks.close()
        with contextlib.suppress(Exception):
            if self._handle is not None:
                self._handle.update({}, raw=True)
        with contextlib.suppress(Exception):
            # nbclient saves the last state of closed widgets too: let that hold no answers.
            for widget in self._htmls[1:]:
                widget.value = ""
        for part in self._parts:
            with contextlib.suppress(Exception):
                part.close()

    def _heard(self, part: Any, message: Any) -> None:
        """Take a message of the page, from any thread; of what it says nothing is believed."""
        match message:
            case {"content": {"data": {"method": "request_state"}}}:
                part.send_state()
            case {"content": {"data": {"method": "custom", "content": {"event": "click"}}}}:
                if part is self._button:
                    self._clicked()

    def _clicked(self) -> None:
        if self._cancel is not None:
            self._cancel()
            self._button.disabled = True
            self._button.description = self._stop.doing
