"""What an answer says outside of blocks that nobody knows: thinking has a new name every month."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

_OPEN, _CLOSE = "<＜◁⟨〈【\\[{", ">＞▷⟩〉】\\]}"
_MARK = re.compile(
    rf"[{_OPEN}]\s{{0,4}}(?P<slash>/?)\s{{0,4}}(?P<name>[^\W\d_][\w:.-]{{0,60}})"
    rf"(?:\s[\w:-]{{1,40}}\s{{0,4}}=[^<>\n]{{0,80}})?\s{{0,4}}[{_CLOSE}]"
    r"|<[|｜](?P<token>[^<>|｜\n]{1,60})[|｜]>"
)
END_MARK = (
    rf"(?:[{_OPEN}]\s{{0,4}}/\s{{0,4}}[^\W\d_][\w:.-]{{0,60}}\s{{0,4}}[{_CLOSE}]"
    r"|<[|｜][^<>|｜\n]{1,60}[|｜]>|assistantfinal)"
)
"""What may end thinking or open the final part, as a pattern, known or not."""

# Marks of HTML and of Markdown's cousins that only say how a text looks, not whose it is.
_LOOKS_NAMED = """
a abbr article b big body br button caption center code dd div dl dt em figure font footer h1 h2 h3
h4 h5 h6 header hr html i img ins kbd li main mark nav ol p pre samp section small span strong sub
sup table tbody td th thead tr tt u ul var
"""
_LOOKS = frozenset(_LOOKS_NAMED.split())
_QUOTES = tuple("`\"'“”‘’([{")
_AFTER = frozenset(".,;:!*_`'\"")
_ANGLES = frozenset("<＜◁⟨〈")
_DEEPEST = 20


def outside_of_frames(text: str, is_answer_name: Callable[[str], bool]) -> str:
    """Return the text without blocks in marks of an unknown name that something follows.

    What such a block says is not the last word, whatever its name. One that ends the text may be
    the answer and stays. A mark that ends a block which nothing began, and a token (`<|…|>`), end
    what came before them. A block that begins the text and never ends leaves nothing.

    Args:
        text: a text without known thinking.
        is_answer_name: whether a name is that of an answer: "answer", or a label.
    """
    marks = [found for found in _MARK.finditer(text) if _is_mark(text, found, is_answer_name)]
    content_end = _content_end(text, marks)
    cut = 0
    blocks: list[tuple[int, int]] = []
    opened: list[tuple[str, int]] = []
    for mark in marks:
        followed = mark.end() < content_end
        if mark["token"] is not None:
            cut = mark.end() if followed and _divides(text, mark) else cut
        elif not mark["slash"]:
            opened += [(mark["name"].casefold(), mark.start())] if len(opened) < _DEEPEST else []
        else:
            names = [name for name, _ in opened]
            if (name := mark["name"].casefold()) in names:
                at = names.index(name)
                begin = opened[at][1]
                del opened[at:]
                while followed and blocks and blocks[-1][0] > begin:
                    blocks.pop()
                blocks += [(begin, mark.end())] if followed else []
            elif followed and _divides(text, mark):
                cut = mark.end()
    for _, begin in opened[:1]:
        if text[begin] in _ANGLES and not text[cut:begin].strip():
            return ""
    tokens = [mark for mark in marks if mark["token"] is not None and mark.start() >= content_end]
    return _without(text[: tokens[0].start()] if tokens else text, cut, blocks)


def _is_mark(text: str, found: re.Match[str], is_answer_name: Callable[[str], bool]) -> bool:
    """Tell whether it is a mark of its own, and neither quoted nor one of a text's looks."""
    name = (found["name"] or "").casefold()
    if name in _LOOKS or (name and is_answer_name(name)):
        return False
    return text[max(0, found.start() - 1) : found.start()] not in _QUOTES


def _divides(text: str, mark: re.Match[str]) -> bool:
    """Tell whether a mark stands where nobody speaks of it: at a line's start or end, or joined."""
    before = text[max(0, mark.start() - 40) : mark.start()]
    after = text[mark.end() : mark.end() + 40].lstrip(" \t")
    return (
        before[-1:] not in (" ", "\t")
        or not before.rpartition("\n")[2].strip()
        or after.startswith("\n")
    )


def _content_end(text: str, marks: Sequence[re.Match[str]]) -> int:
    """Tell where the text ends, but for marks, white space and punctuation."""
    end = len(text)
    for mark in reversed(marks):
        end = _content_before(text, end)
        if mark.end() < end:
            return end
        end = mark.start()
    return _content_before(text, end)


def _content_before(text: str, end: int) -> int:
    while end and (text[end - 1].isspace() or text[end - 1] in _AFTER):
        end -= 1
    return end


def _without(text: str, cut: int, blocks: Sequence[tuple[int, int]]) -> str:
    kept, place = [], cut
    for begin, end in blocks:
        if begin >= place:
            kept.append(text[place:begin])
        place = max(place, end)
    return "\n".join((*kept, text[place:]))
