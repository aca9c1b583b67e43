"""Rewrite a cell of ours so that the notebook awaits it on its own loop."""

from __future__ import annotations

import threading
from typing import Any

from parallm_magics.cell.head import head


class AwaitCells:
    """An input transformer: `%%fanout …` becomes `await …`, all else stays as it is.

    It comes before IPython's own transformers, which would take `>>> ` off the lines of a prompt.
    """

    # IPython runs transformers with side effects only on cells that it executes.
    has_side_effects = True

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._depth = threading.local()

    def __call__(self, lines: list[str]) -> list[str]:
        """The lines, or one line that awaits the cell."""
        found = head("".join(lines))
        if found is None:
            return lines
        name, (line, _, body) = found.magic, found.rest.partition("\n")
        line = line.strip()
        if self._awaitable():
            call = f"await get_ipython().find_cell_magic({name!r}).__self__.awaited({name!r}, {line!r}, {body!r})"
        else:
            call = f"get_ipython().find_cell_magic({name!r})({line!r}, {body!r})"
        return [call + "\n"]

    def _awaitable(self) -> bool:
        """Whether this is a cell of its own: code that runs inside one cannot be awaited."""
        runner = getattr(self._shell.loop_runner, "__name__", "")
        return (
            self._shell.autoawait
            and self._level == 0
            and "trio" not in runner
            and "curio" not in runner
        )

    @property
    def _level(self) -> int:
        return getattr(self._depth, "level", 0)

    def enter(self) -> None:
        """A cell begins in this thread."""
        self._depth.level = self._level + 1

    def leave(self) -> None:
        """A cell ended in this thread; the one that loaded us was never seen to begin."""
        self._depth.level = max(self._level - 1, 0)
