"""The answer of a text that still arrives, without the thinking before it."""

from __future__ import annotations

import re
from typing import Literal

from parallm_magics.answers.thinking_marks import LONGEST, first_mark

_HARMONY = re.compile(r"<\|(?:channel|start)\|>|(?:analysis|commentary)(?=[A-Z<])")
_FINAL = re.compile(r"<\|channel\|>\s{0,4}final[^<|\n]{0,80}<\|message\|>|assistantfinal")
_NAMES = ("analysis", "commentary")
_BEGUN = re.compile(r"[<◁\[][^>▷\]\n]*|<\|channel>\s{0,4}[a-z]{0,9}")
_MOST_BLOCKS = 50


class Sieve:
    """Lets the pieces of an answer pass and holds back those of the thinking before it.

    For who watches only: what counts in the end is `split_thinking` of the whole text.
    """

    __slots__ = ("_blocks", "_held", "_is_harmony", "_state")

    def __init__(self) -> None:
        self._state: Literal["open", "thinking", "answer"] = "open"
        self._held = ""
        self._is_harmony = False
        self._blocks = 0

    def shown(self, piece: str) -> str:
        """What of the piece, and of what was held back before it, is answer; "" while it thinks."""
        if self._state == "answer":
            return piece
        self._held += piece
        while self._blocks < _MOST_BLOCKS:
            if self._state == "thinking" and not self._ends():
                return ""
            begun = self._begins()
            if begun is None:
                return ""
            if not begun:
                break
        self._state, held, self._held = "answer", self._held, ""
        return held

    def _ends(self) -> bool:
        """Whether the thinking ends in what is held; what comes before that is let go."""
        if self._is_harmony:
            final = _FINAL.search(self._held)
            end = final.end() if final else None
        else:
            mark = first_mark(self._held, closes=True)
            end = mark.end if mark else None
        self._held = self._held[-LONGEST:] if end is None else self._held[end:]
        self._state = "thinking" if end is None else "open"
        return end is not None

    def _begins(self) -> bool | None:
        """Whether what is held begins with thinking; None where that cannot be told yet."""
        begin = self._held.lstrip()
        if not begin or any(name.startswith(begin) for name in _NAMES):
            return None
        harmony = _HARMONY.match(begin)
        mark = first_mark(begin[:LONGEST])
        if harmony or (mark and mark.start == 0 and not mark.closes):
            self._state, self._is_harmony = "thinking", harmony is not None
            self._held = begin if harmony else begin[mark.end if mark else 0 :]
            self._blocks += 1
            return True
        return None if len(begin) < LONGEST and _BEGUN.fullmatch(begin) else False
